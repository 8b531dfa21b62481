"""Command lines in Kaldi's style, and atomic files."""

import errno
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.cli import COMMANDS, call, check, find, leave, load
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import (
    OptionParser,
    Options,
    argument,
    flatten,
    from_args,
    group,
    kaldi_bool,
    option,
    parse,
    read_config,
)

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Search(Options):
    """Search."""

    beam: float = option(13.0, "search beam", above=0)
    lattice_beam: float = option(8.0, "lattice beam", above=0, aliases=["latbeam"])


@dataclass(frozen=True, kw_only=True)
class Test(Options):
    """A test."""

    __test__ = False

    files: tuple[str, ...] = argument("files", nargs="*", default=())
    search: Search = group(Search)
    word_symbol_table: str = option("", "words.txt")
    allow_partial: bool = option(True, "keep unfinished utterances")
    groups: tuple[str, ...] = option(("all",), "what moves")
    limit: int | None = option(None, "of something", at_least=1)
    kind: str = option("a", "which", choices=("a", "b"))


def make_parser() -> OptionParser:
    return OptionParser("hdnn test", Test, "A test.")


def write_config(directory: Path, text: str) -> str:
    path = directory / "x.conf"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("words", [["--beam", "11"], ["--beam=11"], ["--beam=15", "--beam=11"]])
def test_values_with_and_without_equals_sign(words):
    assert make_parser().parse_args(words).beam == 11.0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], True),
        (["--allow-partial"], True),
        (["--allow-partial=true"], True),
        (["--allow-partial=false"], False),
        (["--allow-partial", "false"], False),
        (["--allow-partial=f"], False),
    ],
)
def test_booleans(words, expected):
    assert make_parser().parse_args(words).allow_partial is expected


def test_kaldi_bool_takes_nothing_else():
    assert kaldi_bool("True")
    assert not kaldi_bool("FALSE")
    for text in ("", "maybe", "2"):
        with pytest.raises(Exception, match="expected true or false"):
            kaldi_bool(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wrong=1"], "--wrong"),
        (["--bea=1"], "--bea"),  # no abbreviations
        (["--beam"], "expected one argument"),
        (["--beam=wide"], "wide"),
        (["--allow-partial=maybe"], "expected true or false"),
    ],
)
def test_a_wrong_option_prints_usage_and_exits_with_1(capsys, words, said):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(words)
    printed = capsys.readouterr()
    assert stopped.value.code == 1
    assert printed.out == ""
    assert "usage: hdnn test" in printed.err
    assert said in printed.err.splitlines()[-1]


def test_help_exits_with_0(capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(["--help"])
    assert stopped.value.code == 0
    assert "keep unfinished utterances (default: true)" in " ".join(capsys.readouterr().out.split())


CONFIG = """
# decoding
--beam=11.0   # narrow
lattice-beam 6
allow_partial=false

--word-symbol-table="my words.txt"
"""


@pytest.mark.parametrize("separate", [True, False])
def test_config_file(tmp_path, separate):
    path = write_config(tmp_path, CONFIG)
    options = make_parser().parse_args(["--config", path, "a"] if separate else [f"--config={path}", "a"])
    assert (options.beam, options.lattice_beam, options.allow_partial) == (11.0, 6.0, False)
    assert options.word_symbol_table == "my words.txt"
    assert options.files == ["a"]


def test_command_line_wins_over_the_config_file_wherever_it_stands(tmp_path):
    path = write_config(tmp_path, CONFIG)
    for words in (["--beam=9", "--config", path], ["--config", path, "--beam=9"]):
        options = make_parser().parse_args(words)
        assert (options.beam, options.lattice_beam) == (9.0, 6.0)


def test_kaldi_features_config_of_the_recipe_is_readable():
    options = read_config(REPOSITORY / "egs/ami/s5/conf/fbank.conf")
    assert "--num-mel-bins=40" in options
    assert "--use-energy=false" in options
    assert all(option.startswith("--") for option in options)


def test_missing_config_file_is_named(tmp_path):
    with pytest.raises(HdnnError, match=r"missing\.conf"):
        make_parser().parse_args(["--config", str(tmp_path / "missing.conf")])


def test_unknown_option_in_config_file_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(["--config", write_config(tmp_path, "--beem=3\n")])
    assert stopped.value.code == 1
    assert "unknown option --beem (did you mean --beam?)" in capsys.readouterr().err


NAMES = st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9._/:+-]+", fullmatch=True)


@settings(max_examples=50, deadline=None)
@given(options=st.lists(st.tuples(NAMES, VALUES, st.sampled_from(["--{}={}", "{}={}", "{} {}", "  --{} {}  # why"]))))
def test_every_way_to_write_a_config_line_means_the_same(tmp_path_factory, options):
    path = tmp_path_factory.mktemp("config") / "x.conf"
    path.write_text("".join(form.format(name, value) + "\n" for name, value, form in options))
    assert read_config(path) == [f"--{name}={value}" for name, value, _ in options]


@pytest.fixture
def quiet_logging():
    """`run` configures the root logger; give back the one that was there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (3, 3, ""),
        (HdnnError("feats.scp: no such file; run steps_py/make_mfcc.sh"), 1, "error: feats.scp: no such file"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.ark"), 1, "error: a.ark: No such file"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: standard output: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.usefixtures("quiet_logging")
def test_run_turns_errors_into_one_line_and_a_status(capsys, outcome, status, said):
    def main():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with pytest.raises(SystemExit) as stopped:
        leave(main, "hdnn-test")
    printed = capsys.readouterr()
    assert stopped.value.code == status
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == (1 if said else 0)


@pytest.mark.usefixtures("quiet_logging")
def test_run_does_not_hide_programming_errors():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave(main, "hdnn-test")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_ends_early_is_an_error(lines):
    """One line sits in the buffer until the last flush; many break in the middle. Both must tell."""
    program = f"import time\ndef main():\n    time.sleep(0.3)\n    for i in range({lines}): print(i)\n"
    program += "from hdnn_nnet.cli import leave\nleave(main, 'hdnn-test')\n"
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writing)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGPIPE
    assert errors == "hdnn-test: error: the reader of the output pipe ended early; see its log\n"


def test_atomic_file_appears_whole(tmp_path):
    final = tmp_path / "new" / "final.txt"
    with atomic_path(final) as temporary:
        temporary.write_text("half")
        assert not final.exists()
        assert temporary.parent == final.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
    assert final.read_text() == "whole"
    assert list(final.parent.iterdir()) == [final]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    final = tmp_path / "final.txt"
    write_text(final, "old ä\n")

    def rewrite():
        with atomic_path(final) as temporary:
            temporary.write_text("half of the new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rewrite()
    assert final.read_text(encoding="utf-8") == "old ä\n"
    assert list(tmp_path.iterdir()) == [final]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "final.txt"):
        pass
    assert not list(tmp_path.iterdir())


def test_kill_9_leaves_no_file_under_the_final_name(tmp_path):
    program = "import os, signal\nfrom hdnn_nnet.atomic import atomic_path\n"
    program += "with atomic_path('final.txt') as t:\n    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, timeout=60
    )
    assert result.returncode == -signal.SIGKILL
    assert not (tmp_path / "final.txt").exists()


@pytest.mark.parametrize("content", [b"== 3\n", b"--a=\xff\xfe\n"])
def test_damaged_configuration_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_bytes(content)
    with pytest.raises(HdnnError, match=r"x\.conf"):
        read_config(path)


def test_values_of_a_configuration_file_keep_their_spaces(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("--cmvn-opts=--norm-means=true --norm-vars=true  # both\nbeam = 11\nwords 'a b'\n--flag\n\n")
    assert read_config(path) == ["--cmvn-opts=--norm-means=true --norm-vars=true", "--beam=11", "--words=a b", "--flag"]


def test_bare_boolean_leaves_the_file_name_behind_it_alone() -> None:
    options = make_parser().parse_args(["--allow-partial", "final.mdl"])
    assert options.allow_partial is True
    assert options.files == ["final.mdl"]
    assert make_parser().parse_args(["--allow-partial", "false", "final.mdl"]).allow_partial is False


def test_options_of_groups_are_one_command_line_and_come_back_as_their_dataclasses() -> None:
    found = parse(Test, ["--latbeam=3", "--groups", "gates,hidden", "--limit", "4", "x", "y"], prog="t")
    assert found == Test(files=("x", "y"), search=Search(lattice_beam=3.0), groups=("gates", "hidden"), limit=4)
    assert flatten(found)["lattice_beam"] == 3.0


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--beam=0", "--beam must be above 0, not 0.0"),
        ("--beam=nan", "--beam must be a finite number, not nan"),
        ("--beam=inf", "--beam must be a finite number, not inf"),
        ("--limit=0", "--limit must be at least 1, not 0"),
    ],
)
def test_a_value_outside_its_limits_is_an_error_that_names_the_option(word: str, said: str) -> None:
    with pytest.raises(HdnnError, match=f"^{said}$"):
        parse(Test, [word], prog="t")
    with pytest.raises(HdnnError):
        replace(Search(), beam=-1.0)


def test_every_command_has_help_an_example_that_parses_and_defaults_within_their_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY / "egs/ami/s5")  # where the configuration files of the examples are
    for name in COMMANDS:
        module = load(name)
        if name == "torchrun":
            continue
        words = shlex.split(module.EXAMPLE.partition(" | ")[0])
        assert " ".join(words[: 1 + len(name.split())]) == f"hdnn {name}"
        made = OptionParser(name, module.Options, module.__doc__)
        from_args(module.Options, made.parse_args(words[1 + len(name.split()) :]))
        assert module.EXAMPLE in OptionParser(name, module.Options, "", module.EXAMPLE).format_help()


def test_help_and_wrong_options_import_nothing_heavy() -> None:
    """The promise of an answer at once: no numpy, no torch."""
    heavy = "import sys; from hdnn_nnet import cli\n"
    heavy += "for name in cli.COMMANDS: cli.load(name)\n"
    heavy += "print([m for m in ('torch', 'numpy', 'scipy', 'k2', 'kaldiio', 'lhotse') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout == "[]\n"


def hdnn(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hdnn_nnet", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


def test_the_table_of_commands() -> None:
    listed = hdnn("--help")
    assert listed.returncode == 0
    assert all(f"  {name} " in listed.stdout for name in COMMANDS)
    assert hdnn().returncode == 1
    assert hdnn("collect", "--help").stdout.count("\n  collect ") == 7
    assert hdnn("--version").stdout.startswith("hdnn_nnet ")
    for words, said in ((("forwrd",), "did you mean forward"), (("train", "cf"), "train ce"), (("nothing",), "--help")):
        done = hdnn(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert done.stderr.startswith("hdnn: error: no command ")


def test_check_looks_at_options_only() -> None:
    assert hdnn("--check", "forward", "--output=logits", "m", "d", "ark:-").returncode == 0
    for words in (
        ["--outptu=logits", "m", "d", "w"],
        ["--output=x", "m", "d", "w"],
        ["m"],
        ["--batch-frames=0", "m", "d", "w"],
    ):
        done = hdnn("--check", "forward", *words)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1


def test_errors_of_commands_reach_python_callers(tmp_path: Path) -> None:
    with pytest.raises(HdnnError, match="no command 'trian'"):
        find(["trian"])
    with pytest.raises(HdnnError, match="does not exist"):
        call("check utterances", [str(tmp_path / "a"), str(tmp_path / "b")])


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    script = hdnn("--completion", "bash").stdout
    ask = """
    complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _shtab_hdnn; echo "${COMPREPLY[*]}"; }
    complete_words hdnn coll
    complete_words hdnn collect so
    complete_words hdnn train ce --momentum-f
    complete_words hdnn forward --output log
    """
    done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:4] == [
        "collect",
        "soft-labels",
        "--momentum-from-epoch",
        "loglikes logposteriors logits",
    ]
    refused = hdnn("--completion", "elvish")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "bash" in refused.stderr


def test_commands_that_texts_name_exist() -> None:
    """In messages, comments and documentation: `hdnn x` and `hdnn x y`."""
    families = {name.split()[0] for name in COMMANDS if " " in name}
    others = {
        "exp",
        "ark",
        "data",
        "of",
        "and",
        "is",
        "that",
        "hold",
    }  # what follows a directory exp/hdnn, or the word alone
    wrong, looked_at = [], set()
    rooms = ("hdnn_nnet", "steps_py", "local", "benchmarks", "docs")
    for path in sorted(
        [
            *REPOSITORY.glob("*.*"),
            *(REPOSITORY / "egs/ami/s5").glob("*.*"),
            *(p for room in rooms for p in (REPOSITORY / room).rglob("*")),
        ]
    ):
        if path.suffix not in (".py", ".sh", ".md"):
            continue
        looked_at.add(str(path.relative_to(REPOSITORY)))
        for first, second in re.findall(r"(?<![/\w-])hdnn ([a-z][a-z0-9-]*)(?: ([a-z][a-z0-9-]*))?", path.read_text()):
            known = first in COMMANDS or f"{first} {second}" in COMMANDS or (first in families and not second)
            if not known and first not in others:
                wrong.append(f"{path}: hdnn {first} {second}")
    assert {"README.md", "docs/data.md", "hdnn_nnet/corpus/prepare.py", "steps_py/decode.sh"} <= looked_at
    assert not wrong


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train deltas", ["20", "100", "data", "lang", "exp/ali", "exp/../exp/ali/"]),
        ("train ce", ["tr", "cv", "ali", "ali", "ali"]),
        ("align gmm", ["data", "lang", "mono", "mono"]),
        ("adapt", ["data", "model", "labels", "model"]),
        ("export onnx", ["model", "data", "model"]),
        ("data from-folder", ["data", "data"]),
    ],
)
def test_nothing_is_written_over_what_is_read(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for run in (call, lambda name, words: check([*name.split(), *words])):
        with pytest.raises(HdnnError, match=r"are one directory, .*, which would be written over"):
            run(name, words)
    assert not list(tmp_path.iterdir())
