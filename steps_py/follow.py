#!/usr/bin/env python3
"""Show what the logs of jobs say of their progress, while the jobs run.

    follow.py NAME LOG PARENT
    follow.py '' LOG PARENT [JOB=1:4]

A job of run.py, queue.pl or slurm.pl says nothing itself. With a NAME the epochs of one training go to stderr as they are
written. Without, it is shown how far jobs are, several with JOB in the log's name. On a terminal the last line is a bar;
elsewhere there is a line at least now and then. Logs are read again and again, since they may be written on other machines.
Ends on SIGTERM, having read them to their ends, or with its parent, whose process id it is told.
Followers that share a directory, HDNN_PROGRESS, share one bar line.
"""

import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

SECONDS = 0.5
LOGS_A_LOOK = 10  # more are read less often
QUIET_SECONDS = 20  # of no line at all, before a step is shown where there is no bar
CLOCK_SECONDS = (5, 20, 600)  # of a job that tells nothing: until a bar, the first line, and at most between lines
SHOWN = re.compile(
    r"(?:INFO|WARNING) \([^)]*\) ((?:ITERATION|initial network|resuming at|already trained|Done \d+ files)\b.*)"
)
STEP = re.compile(r"INFO \([^)]*\) ((\w+) (\d+): step (\d+) of (\d+))")
PASS = re.compile(r"INFO \([^)]*\) (pass \d+: log-likelihood \S+ a frame).*")  # of a GMM: too many to show them all
COUNT = re.compile(r"INFO \([^)]*\) \w+: (\d+) of (\d+)$")
ENDED = "# Accounting:"
WIDTH = 20


class Log:
    """A log that grows, and may be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read, self.inode, self.rest = 0, 0, ""

    def new_lines(self) -> list[str]:
        """Whole lines that were not there before; from the beginning of a log that was replaced."""
        try:
            with self.path.open(errors="replace") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self.inode or found.st_size < self.read:
                    self.read, self.inode, self.rest = 0, found.st_ino, ""
                file.seek(self.read)
                text = file.read()
                self.read = file.tell()
        except OSError:  # not there yet
            return []
        *lines, self.rest = (self.rest + text).split("\n")
        return lines


class Display:
    """Lines, and on a terminal a bar behind them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.terminal = sys.stderr.isatty()
        shared = os.environ.get("HDNN_PROGRESS")
        self.shared = Path(shared, name.replace("/", " ")) if shared else None
        self.drawn = ""

    def write(self, text: str) -> None:
        """One write, so that the lines of several followers do not mix."""
        clear = "\r\033[K" if self.drawn else ""
        self.drawn = ""
        os.write(sys.stderr.fileno(), (clear + text).encode())

    def draw(self, bar: str) -> None:
        """The bar line: that of all followers that share a directory."""
        bars = [bar]
        if self.shared is not None:
            self.shared.write_text(bar)
            bars = []
            for path in sorted(self.shared.parent.iterdir()):
                with contextlib.suppress(FileNotFoundError):  # of a follower that has just ended
                    bars.append(path.read_text())
        line = "  ".join(filter(None, bars))[: shutil.get_terminal_size().columns - 1]
        if line != self.drawn:
            os.write(sys.stderr.fileno(), f"\r\033[K{line}".encode())
            self.drawn = line

    def close(self) -> None:
        if self.shared is not None:
            self.shared.unlink(missing_ok=True)
        if self.terminal:
            self.write("")


def bar(what: str, part: float) -> str:
    filled = round(WIDTH * part)
    return f"{what} [{'#' * filled}{'.' * (WIDTH - filled)}] {part:.0%}"


class Training:
    """Epochs of one training; `look` prints what is new."""

    period = SECONDS

    def __init__(self, name: str, log: Path) -> None:
        self.log, self.display = Log(log), Display(name)
        self.bar = self.step = ""
        self.quiet = 0.0

    def look(self) -> None:
        said, name = [], self.display.name
        for line in self.log.new_lines():
            if shown := SHOWN.match(line):
                said.append(f"{name}: {shown[1]}")
                self.step = self.bar = ""
            elif found := PASS.match(line):
                self.step = self.bar = f"{name}: {found[1]}"
            elif step := STEP.match(line):
                self.step = f"{name}: {step[1]}"
                self.bar = bar(f"{name} {step[2]} {step[3]}", int(step[4]) / max(int(step[5]), 1))
        self.quiet = 0.0 if said else self.quiet + SECONDS
        if not self.display.terminal and self.step and self.quiet >= QUIET_SECONDS:
            said.append(self.step)
            self.quiet, self.step = 0.0, ""
        for line in said:
            self.display.write(line + "\n")
        if self.display.terminal:
            self.display.draw(self.bar)


class Jobs:
    """How far jobs of about the same size are, or, where they do not tell, for how long they have been at work."""

    def __init__(self, log: Path, array: str) -> None:
        variable, _, numbers = array.partition("=")
        first, _, last = numbers.partition(":")
        every = range(int(first), int(last or first) + 1) if array else range(1)
        paths = [Path(str(log).replace(variable, str(number))) if array else log for number in every]
        self.logs = {Log(path): 0.0 for path in paths}
        self.period = SECONDS * max(1, len(paths) / LOGS_A_LOOK)
        where = [part for part in log.parent.parts if part not in ("log", "/")][-2:]
        what = log.stem.removesuffix(f".{variable}") if array else log.stem
        self.path, self.display = paths[0], Display(" ".join(filter(None, ("/".join(where), what))))
        self.began = time.monotonic()
        self.told, self.next = 0.0, float(CLOCK_SECONDS[1])

    def look(self) -> None:
        for log, part in self.logs.items():
            for line in log.new_lines():
                if count := COUNT.match(line):
                    part = int(count[1]) / max(int(count[2]), 1)
                elif line.startswith(ENDED):
                    part = 1.0
            self.logs[log] = part
        done, seconds = sum(self.logs.values()) / len(self.logs), time.monotonic() - self.began
        name = self.display.name
        if self.display.terminal:
            if 0 < done < 1:
                self.display.draw(bar(name, done))
            elif seconds >= CLOCK_SECONDS[0]:
                self.display.draw(f"{name}: {seconds:.0f} s")
        elif seconds >= self.next and done < 1:
            if done > self.told:
                self.display.write(f"{name}: {done:.0%}\n")
                self.told, self.next = done, seconds + max(QUIET_SECONDS, seconds / 10)
            else:
                self.display.write(f"{name}: at work for {seconds:.0f} s; its log is {self.path}\n")
                self.next = seconds + min(seconds, CLOCK_SECONDS[2])


def main() -> None:
    if len(sys.argv) not in (4, 5) or sys.argv[1].startswith("-"):
        print(__doc__)
        sys.exit(sys.argv[1:2] not in (["--help"], ["-h"]))
    ended = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the step tells it
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    name, log, parent = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    follower = Training(name, log) if name else Jobs(log, "".join(sys.argv[4:]))
    while not ended.wait(follower.period):
        if os.getppid() != parent:  # killed: nobody waits for this
            sys.exit(1)
        follower.look()
    follower.look()
    follower.display.close()


if __name__ == "__main__":
    main()
