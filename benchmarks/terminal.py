"""Run a command on a terminal of its own and write down what a person sees there, and when: where is it silent, and for how long?

    python3 benchmarks/terminal.py "make mini" docs/make-mini.txt

Each line has minutes and seconds since the start in front. Of a bar that is redrawn only the last state before the next line is
written, but every redrawing ends a silence. The last line tells the longest silence. Status is the command's.
"""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import script
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option

_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # colours and movements of the cursor


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Terminal."""

    command: str = argument("for bash, in quotes")
    output: Path = argument("where the lines go")
    columns: int = option(120, "of the terminal", at_least=20)


class Recording:
    """Lines with times, from pieces of output.

    Attributes:
        lines: what has been seen so far, without the line at work.
        gap: seconds of the longest silence; it began `gap_at` seconds after the start, behind `gap_behind`.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.gap, self.gap_at, self.gap_behind = 0.0, 0.0, ""
        self._last, self._line, self._started = 0.0, b"", 0.0

    def add(self, piece: bytes, now: float) -> None:
        """Take what came `now` seconds after the start."""
        if now - self._last > self.gap:
            self.gap, self.gap_at = now - self._last, self._last
            self.gap_behind = self._text() or (self.lines[-1] if self.lines else "")
        self._last = now
        *whole, rest = piece.split(b"\n")
        for part in whole:
            self._line += part
            self._end_line(now)
        if rest and not self._line:
            self._started = now
        self._line += rest

    def _end_line(self, now: float) -> None:
        text = self._text()
        when = self._started or now
        if text:
            self.lines.append(f"{int(when // 60):3}:{when % 60:04.1f}  {text}")
        self._line, self._started = b"", 0.0

    def _text(self) -> str:
        """The line at work as it stands on the terminal."""
        shown = [part for part in _CONTROL.sub(b"", self._line).split(b"\r") if part.strip()]
        return shown[-1].decode(errors="replace").rstrip() if shown else ""

    def report(self, now: float) -> str:
        """All lines; the place of the user's home is left out."""
        self.add(b"\n", now)
        last = f"longest silence: {self.gap:.1f} s, from {self.gap_at:.0f} s on, behind: {self.gap_behind.strip()}"
        return "\n".join([*self.lines, last]).replace(str(Path.home()), "~") + "\n"


def record(command: str, columns: int) -> tuple[str, int]:
    """What the command wrote, with times, and its status; all of it is shown on stderr as well."""
    child, terminal = pty.fork()
    if not child:
        os.execvp("bash", ["bash", "-c", command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    recording, began = Recording(), time.monotonic()
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # its end of the terminal is closed
            break
        if not piece:
            break
        recording.add(piece, time.monotonic() - began)
        sys.stderr.buffer.write(piece)
        sys.stderr.flush()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return recording.report(time.monotonic() - began), status


def main(options: Options) -> int:
    text, status = record(options.command, options.columns)
    write_text(options.output, text)
    return status


if __name__ == "__main__":
    script(Options, main, "benchmarks/terminal.py", __doc__ or "")
