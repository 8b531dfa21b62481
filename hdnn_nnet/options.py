"""Options in Kaldi's style, stated once: the fields of a dataclass are the command line.

A field made by `option` is `--a-b VALUE` or `--a-b=VALUE`, by `argument` a positional word, by `group` the fields of another
dataclass. Name, type, default, help and limits stand there and nowhere else; `parse` makes the command line from them, and the
same object goes into the library.
"""

import argparse
import dataclasses
import difflib
import itertools
import math
import os
import re
import shlex
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.text import read_plain

_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")
_QUOTED, _END = r"""(?:"[^"]*"|'[^']*')""", r"\s*(?:#.*)?"  # in lines of configuration files
_KEY = "hdnn"  # of our entry in a field's metadata


@dataclass(frozen=True)
class _About:
    """What a field says of itself besides name, type and default."""

    kind: str  # option, argument or group
    help: str = ""
    choices: tuple[Any, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    aliases: tuple[str, ...] = ()
    metavar: str | None = None
    nargs: str | None = None
    free: bool = False


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[Any] = (),
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    aliases: Sequence[str] = (),
    metavar: str | None = None,
    nargs: str | None = None,
    free: bool = False,
) -> Any:
    """A field that is an option.

    Args:
        at_least, above, at_most, below: limits of a number; NaN and infinity are always refused.
        aliases: further names, without the two dashes.
        nargs: `*`: may be given several times, or have several values.
        free: does not change the result of a training, so that a resumed one may have another value.
    """
    about = _About(
        "option", help, tuple(choices), at_least, above, at_most, below, tuple(aliases), metavar, nargs, free
    )
    return dataclasses.field(default=default, metadata={_KEY: about})


def argument(
    help: str, *, nargs: str | None = None, free: bool = False, default: Any = dataclasses.MISSING,
    at_least: float | None = None,
) -> Any:  # fmt: skip
    """A field that is a positional word; `nargs` as in argparse (`?` with a default, `*`, `+`)."""
    about = _About("argument", help, nargs=nargs, free=free, at_least=at_least)
    return dataclasses.field(default=default, metadata={_KEY: about})


def group(options: type, title: str = "") -> Any:
    """A field whose own fields are on the same command line; `title` heads them in `--help` (default: its docstring's)."""
    return dataclasses.field(default_factory=options, metadata={_KEY: _About("group", title)})


def _about(field: dataclasses.Field) -> _About:
    try:
        return field.metadata[_KEY]
    except KeyError:
        raise TypeError(f"{field.name} is no option; make it by option(), argument() or group()") from None


def is_argument(field: dataclasses.Field) -> bool:
    """Whether a field is a positional word."""
    return _about(field).kind == "argument"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all option dataclasses: checks every value against the choices and limits of its field.

    Raises:
        HdnnError: a value that is not allowed; the message names the option.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            about, value = _about(field), getattr(self, field.name)
            if about.kind == "group" or value is None:
                continue
            values = value if isinstance(value, tuple) else (value,)
            problem = next(filter(None, (_problem(about, one) for one in values)), "")
            if problem:
                raise HdnnError(f"{_shown(field)} must be {problem}, not {value}")


def _shown(field: dataclasses.Field) -> str:
    return field.name if _about(field).kind == "argument" else "--" + field.name.replace("_", "-")


def _problem(about: _About, value: Any) -> str:
    """What `value` should have been; empty if it is allowed."""
    if about.choices and value not in about.choices:
        return "one of " + ", ".join(str(c) for c in about.choices if c != "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if not math.isfinite(value):
        return "a finite number"
    wanted = [
        f"{word} {limit:g}"
        for word, limit, kept in (
            ("at least", about.at_least, about.at_least is None or value >= about.at_least),
            ("above", about.above, about.above is None or value > about.above),
            ("at most", about.at_most, about.at_most is None or value <= about.at_most),
            ("below", about.below, about.below is None or value < about.below),
        )
        if not kept
    ]
    return " and ".join(wanted)


def walk(options: type) -> Iterator[dataclasses.Field]:
    """All options and arguments of a dataclass, those of its groups in place."""
    for field in dataclasses.fields(options):
        if _about(field).kind == "group":
            yield from walk(typing.cast(type, field.type))
        else:
            yield field


def flatten(options: Any, free: bool = True) -> dict[str, Any]:
    """Name -> value of all options and arguments; without those that a resumed training may change if `free` is false."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if _about(field).kind == "group":
            values |= flatten(value, free)
        elif free or not _about(field).free:
            values[field.name] = value
    return values


def kaldi_bool(text: str) -> bool:
    """`true` or `false`, as Kaldi's option parser takes them."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")


def _type_of(field: dataclasses.Field) -> type:
    """The type of one value: that of `X | None` and of `tuple[X, ...]` is X."""
    kind = field.type
    if isinstance(kind, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else typing.cast(type, kind)


def _or_none(kind: type) -> Callable[[str], Any]:
    """`--name=` without a value stands for the default of an option that need not have one, as an empty variable of a shell."""

    def convert(text: str) -> Any:
        return kind(text) if text else None

    convert.__name__ = kind.__name__  # argparse names it in errors
    return convert


def _is_tuple(field: dataclasses.Field) -> bool:
    return typing.get_origin(field.type) is tuple


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with defaults as they would be typed."""

    def _get_help_string(self, action: argparse.Action) -> str:
        default, text = action.default, (action.help or "").replace("%", "%%")
        if not action.option_strings or default in (None, "", argparse.SUPPRESS) or "default" in text:
            return text
        if isinstance(default, bool):
            default = str(default).lower()
        elif isinstance(default, tuple):
            default = ",".join(map(str, default))
        return f"{text} (default: {default})" if default != "" else text


class OptionParser(argparse.ArgumentParser):
    """argparse with Kaldi's manners.

    A wrong option prints the usage and exits with 1; abbreviations are refused; `--config FILE` reads options from
    lines such as `--beam=13.0`, `beam=13.0` or `beam 13.0` (`#` starts a comment); the command line wins over the file.
    A boolean option may be given without a value, which means true.
    """

    def __init__(self, prog: str, options: type, description: str = "", example: str = "") -> None:
        epilog = f"example:\n  {example}" if example else None
        super().__init__(
            prog=prog, description=description, epilog=epilog, allow_abbrev=False, formatter_class=_Formatter,
            usage=f"{prog} [options] {' '.join(_placeholders(options))}".rstrip(),
        )  # fmt: skip
        self.made_for = options
        self._optionals.title = "options"
        self._add(options, self)
        self.add_argument("--config", metavar="FILE", help="read options from FILE")
        self.add_argument(
            "--print-args", type=kaldi_bool, nargs="?", const=True, metavar="BOOL", default=False,
            help="show the command line on stderr",
        )  # fmt: skip
        self.add_argument("--verbose", type=int, metavar="N", default=0, help="1 shows debugging messages")

    def _add(self, options: type, place: Any) -> None:
        for field in dataclasses.fields(options):
            about = _about(field)
            if about.kind == "group":
                inner = typing.cast(type, field.type)
                title = about.help or (inner.__doc__ or "").split("\n")[0].rstrip(".")
                self._add(inner, self.add_argument_group(title))
            elif about.kind == "argument":
                # Positional words have one place in --help, wherever they are stated.
                self._add_positional(field, about)
            else:
                self._add_option(field, about, place)

    def _add_positional(self, field: dataclasses.Field, about: _About) -> None:
        more: dict[str, Any] = {}
        if about.nargs:
            more["nargs"] = about.nargs
        if field.default is not dataclasses.MISSING:
            more["default"] = field.default
        self.add_argument(field.name, type=_type_of(field), help=about.help, **more)

    def _add_option(self, field: dataclasses.Field, about: _About, place: Any) -> None:
        names = ["--" + name.replace("_", "-") for name in (field.name, *about.aliases)]
        kind: Any = _type_of(field)
        more: dict[str, Any] = {"dest": field.name, "default": field.default, "help": about.help}
        more["metavar"] = {int: "N", float: "X"}.get(kind, "WORD")
        if about.choices:
            more["choices"] = about.choices
            more["metavar"] = "{" + ",".join(str(c) for c in about.choices if c != "") + "}"
        if about.metavar:
            more["metavar"] = about.metavar
        if kind is bool:
            more |= {"type": kaldi_bool, "nargs": "?", "const": True, "metavar": "BOOL"}
        elif _is_tuple(field) and about.nargs:
            more |= {"type": kind, "action": "append", "default": list(typing.cast(tuple, field.default))}
        elif isinstance(field.type, types.UnionType) and kind is not str:
            more["type"] = _or_none(kind)
        elif _is_tuple(field):
            more["type"] = lambda text: tuple(kind(word) for word in re.split(r"[,:\s]", text) if word)
        else:
            more["type"] = kind
        place.add_argument(*names, **more)

    def _with_value(self, word: str, following: str) -> str:
        """A boolean option without a value gets `=true`, so that it does not take the positional argument after it."""
        action = self._option_string_actions.get(word)
        if action is None or action.type is not kaldi_bool or action.nargs != "?":
            return word
        return word if following.lower() in (*_TRUE, *_FALSE) else f"{word}=true"

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        if unknown := re.match("unrecognized arguments: (--[^= ]+)", message):
            near = difflib.get_close_matches(unknown[1], self._option_string_actions, 1, 0.8)
            message = f"unknown option {unknown[1]}" + (f" (did you mean {near[0]}?)" if near else "")
        self.exit(1, f"{self.prog}: error: {message}; see {self.prog} --help\n")

    def parse_args(  # type: ignore[override]  # one signature instead of argparse's overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        arguments = list(sys.argv[1:] if args is None else args)
        # Options of the files come first, so that the later command line overrides them.
        expanded = [word for path in _config_paths(arguments) for word in read_config(path)] + arguments
        expanded = [self._with_value(a, b) for a, b in itertools.zip_longest(expanded, expanded[1:], fillvalue="")]
        found = super().parse_args(expanded, namespace)
        if found.print_args:
            print(shlex.join([*self.prog.split(" "), *arguments]), file=sys.stderr)
        return found


def _placeholders(options: type) -> list[str]:
    marks = {None: "<{}>", "?": "[<{}>]", "*": "[<{}> ...]", "+": "<{}> ..."}
    fields = (f for f in walk(options) if _about(f).kind == "argument")
    return [marks[_about(f).nargs].format(f.name.replace("_", "-")) for f in fields]


AnyOptions = TypeVar("AnyOptions")


def from_args(options: type[AnyOptions], args: argparse.Namespace) -> AnyOptions:
    """The dataclass from the values that its parser found.

    Raises:
        HdnnError: a value outside its limits, or options that contradict each other.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]  # a dataclass
        if _about(field).kind == "group":
            values[field.name] = from_args(typing.cast(type, field.type), args)
        else:
            value = getattr(args, field.name)
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return options(**values)


def parse(
    options: type[AnyOptions], argv: Sequence[str] | None = None, *, prog: str, description: str = "", example: str = ""
) -> AnyOptions:
    """Options from the words of a command line."""
    return from_args(options, OptionParser(prog, options, description, example).parse_args(argv))


@dataclass(frozen=True, kw_only=True)
class JobOptions(Options):
    """Which part of the work."""

    num_jobs: int = option(1, "parts the utterances are cut into", at_least=1)
    job: int = option(1, "which part, from 1", at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.job > self.num_jobs:
            raise HdnnError(f"--job {self.job} is not between 1 and --num-jobs {self.num_jobs}")

    def part_of(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items of this job: contiguous parts of about equal size."""
        first, last = (len(items) * part // self.num_jobs for part in (self.job - 1, self.job))
        return items[first:last]


def _config_paths(arguments: Sequence[str]) -> list[str]:
    paths = [a.split("=", 1)[1] for a in arguments if a.startswith("--config=")]
    return paths + [b for a, b in itertools.pairwise(arguments) if a == "--config"]


def read_config(path: str | os.PathLike[str]) -> list[str]:
    """Options of a Kaldi configuration file as command-line words."""
    try:
        lines = read_plain(path)
    except HdnnError as error:
        raise HdnnError(f"--config: {error}") from error
    options: list[str] = []
    for number, line in enumerate(lines, 1):
        # The value is the rest of the line, spaces included, as in Kaldi; quotes around it are taken off.
        match = re.fullmatch(rf"(?:--)?([A-Za-z][\w-]*)(?:(\s*=\s*|\s+)({_QUOTED}|[^#]*))?{_END}", line.strip())
        if match:
            name, value = match[1].replace("_", "-"), (match[3] or "").strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            options.append(f"--{name}={value}" if value or "=" in (match[2] or "") else f"--{name}")
        elif not re.fullmatch(_END, line.strip()):
            raise HdnnError(f"{path}, line {number}: expected --option=value, found {line.strip()}")
    return options
