"""Command lines in Kaldi's style: `--a-b value` or `--a-b=value`, `--config FILE`, messages on stderr."""

import argparse
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.malloc import keep_freed_memory

_BOOLEANS = {"true", "t", "1", "yes", "false", "f", "0", "no"}


def kaldi_bool(text: str) -> bool:
    """`true` or `false`, as Kaldi's option parser takes them."""
    if text.lower() in ("true", "t", "1", "yes"):
        return True
    if text.lower() in ("false", "f", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")


class OptionParser(argparse.ArgumentParser):
    """argparse with Kaldi's manners.

    A wrong option prints the usage and exits with 1; abbreviations are refused; `--config FILE` reads options from
    lines such as `--beam=13.0`, `beam=13.0` or `beam 13.0` (`#` starts a comment); the command line wins over the file.
    A boolean option (`type=kaldi_bool`) may be given without a value, which means true.
    """

    def __init__(self, prog: str, description: str, **kwargs) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            **kwargs,
        )
        self.add_argument("--config", metavar="FILE", help="read options from FILE")
        self.add_argument("--verbose", type=int, default=0, help="1 shows debugging messages")

    def add_bool(self, name: str, default: bool, help: str) -> None:
        """Add a Kaldi boolean: `--name`, `--name=true`, `--name false`."""
        self.add_argument(name, type=kaldi_bool, nargs="?", const=True, default=default, metavar="BOOL", help=help)

    def _with_value(self, word: str, following: str) -> str:
        """A boolean option without a value gets `=true`, so that it does not take the positional argument behind it."""
        action = self._option_string_actions.get(word)
        if action is None or action.type is not kaldi_bool or action.nargs != "?":
            return word
        return word if following.lower() in _BOOLEANS else f"{word}=true"

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: error: {message}\n")

    def parse_args(  # type: ignore[override]  # one signature instead of argparse's overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        arguments = list(sys.argv[1:] if args is None else args)
        # Options of the files come first, so that the later command line overrides them.
        expanded = [option for path in _config_paths(arguments) for option in read_config(path)] + arguments
        expanded = [self._with_value(a, b) for a, b in itertools.zip_longest(expanded, expanded[1:], fillvalue="")]
        return super().parse_args(expanded, namespace)


def add_job_options(parser: OptionParser) -> None:
    """`--num-jobs` and `--job`, for programs that do one part of the work."""
    parser.add_argument("--num-jobs", type=int, default=1, help="parts the utterances are cut into")
    parser.add_argument("--job", type=int, default=1, help="which part, from 1")


def part_of(items: Sequence[str], args: argparse.Namespace) -> Sequence[str]:
    """The items of job `args.job` of `args.num_jobs`: contiguous parts of about equal size."""
    if not 1 <= args.job <= args.num_jobs:
        raise HdnnError(f"--job {args.job} is not between 1 and --num-jobs {args.num_jobs}")
    first, last = (len(items) * part // args.num_jobs for part in (args.job - 1, args.job))
    return items[first:last]


def _config_paths(arguments: Sequence[str]) -> list[str]:
    paths = [a.split("=", 1)[1] for a in arguments if a.startswith("--config=")]
    return paths + [b for a, b in itertools.pairwise(arguments) if a == "--config"]


def read_config(path: str | os.PathLike[str]) -> list[str]:
    """Options of a Kaldi configuration file as command-line words."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HdnnError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise HdnnError(f"{path} is no text file; is it the right --config?") from error
    options: list[str] = []
    for number, line in enumerate(lines, 1):
        # The value is the rest of the line, spaces included, as in Kaldi; quotes around it are taken off.
        match = re.fullmatch(r"(?:--)?([A-Za-z][\w-]*)(?:\s*=\s*|\s+|$)(.*)", line.partition("#")[0].strip())
        if match:
            name, value = match[1].replace("_", "-"), match[2].strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            options.append(f"--{name}={value}" if value else f"--{name}")
        elif line.partition("#")[0].strip():
            raise HdnnError(f"{path}, line {number}: expected --option=value, found {line.strip()}")
    return options


def run(main: Callable[[Sequence[str] | None], int | None], prog: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a program's `main` and leave the process with its status.

    HdnnError and operating-system errors become one line on stderr and status 1; an interrupt gives 130.
    A reader that closed our pipe is an error (141), never a silent success: in Kaldi's pipes nothing else would tell.
    """
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format=f"%(levelname)s ({prog}) %(message)s", stream=sys.stderr)
    try:
        status = main(argv) or 0
        sys.stdout.flush()
    except HdnnError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        print(f"{prog}: error: the reader of the output pipe ended early; see its log", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter's last flush must not fail again
        status = 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{prog}: error: {where}{error.strerror or error}", file=sys.stderr)
        status = 1
    sys.exit(status)
