#!/usr/bin/env python3
"""Show what a job's log says of its progress, while the job runs.

    follow.py NAME LOG PARENT

Epochs and the like go to stderr as they are written, each with NAME before it: a job of run.py, queue.pl or slurm.pl says
nothing itself. On a terminal the last line is a bar; elsewhere there is a line at least now and then. The log is read again
and again, since it may be written on another machine. Ends on SIGTERM, having read the log to its end, or with its parent,
whose process id it is told.
Followers that share a directory, HDNN_PROGRESS, share one bar line.
"""

import os
import re
import shutil
import signal
import sys
import threading
from pathlib import Path

SECONDS = 0.5
QUIET_SECONDS = 20  # of no line at all, before a step is shown where there is no bar
SHOWN = re.compile(
    r"(?:INFO|WARNING) \([^)]*\) ((?:ITERATION|initial network|resuming at|already trained|Done \d+ files)\b.*)"
)
STEP = re.compile(r"INFO \([^)]*\) ((\w+) (\d+): step (\d+) of (\d+))")
PASS = re.compile(r"INFO \([^)]*\) (pass \d+: log-likelihood \S+ a frame).*")  # of a GMM: too many to show them all
WIDTH = 20


class Follower:
    """Reads one log; `look` prints what is new in it."""

    def __init__(self, name: str, log: Path) -> None:
        self.name, self.log = name, log
        self.terminal = sys.stderr.isatty()
        self.shared = Path(os.environ["HDNN_PROGRESS"]) if os.environ.get("HDNN_PROGRESS") else None
        self.read, self.inode, self.rest = 0, 0, ""
        self.bar = self.step = self.drawn = ""
        self.quiet = 0.0

    def new_lines(self) -> list[str]:
        """Whole lines that were not there before; from the beginning of a log that was replaced."""
        try:
            with self.log.open(errors="replace") as file:
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

    def look(self) -> None:
        said = []
        for line in self.new_lines():
            if shown := SHOWN.match(line):
                said.append(f"{self.name}: {shown[1]}")
                self.step = self.bar = ""
            elif found := PASS.match(line):
                self.step = self.bar = f"{self.name}: {found[1]}"
            elif step := STEP.match(line):
                part = int(step[4]) / max(int(step[5]), 1)
                self.step = f"{self.name}: {step[1]}"
                filled = round(WIDTH * part)
                self.bar = f"{self.name} {step[2]} {step[3]} [{'#' * filled}{'.' * (WIDTH - filled)}] {part:.0%}"
        self.quiet = 0.0 if said else self.quiet + SECONDS
        if not self.terminal and self.step and self.quiet >= QUIET_SECONDS:
            said.append(self.step)
            self.quiet, self.step = 0.0, ""
        for line in said:
            self.write(line + "\n")
        if self.terminal:
            self.draw()

    def write(self, text: str) -> None:
        """One write, so that the lines of several followers do not mix."""
        clear = "\r\033[K" if self.drawn else ""
        self.drawn = ""
        os.write(sys.stderr.fileno(), (clear + text).encode())

    def draw(self) -> None:
        """The bar line: that of all followers that share a directory."""
        bars = [self.bar]
        if self.shared is not None:
            own = self.shared / self.name
            own.write_text(self.bar)
            bars = [path.read_text() for path in sorted(self.shared.iterdir())]
        line = "  ".join(filter(None, bars))[: shutil.get_terminal_size().columns - 1]
        if line != self.drawn:
            os.write(sys.stderr.fileno(), f"\r\033[K{line}".encode())
            self.drawn = line

    def close(self) -> None:
        if self.shared is not None:
            (self.shared / self.name).unlink(missing_ok=True)
        self.bar = ""
        if self.terminal:
            self.write("")


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[1].startswith("-"):
        print(__doc__)
        sys.exit(sys.argv[1:2] not in (["--help"], ["-h"]))
    ended = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the step tells it
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    parent, follower = int(sys.argv[3]), Follower(sys.argv[1], Path(sys.argv[2]))
    while not ended.wait(SECONDS):
        if os.getppid() != parent:  # killed: nobody waits for this
            sys.exit(1)
        follower.look()
    follower.look()
    follower.close()


if __name__ == "__main__":
    main()
