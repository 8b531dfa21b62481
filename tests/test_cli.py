"""Command lines in Kaldi's style, and atomic files."""

import errno
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import OptionParser, kaldi_bool, read_config, run

REPOSITORY = Path(__file__).resolve().parent.parent


def make_parser() -> OptionParser:
    parser = OptionParser("hdnn-test", "A test.")
    parser.add_argument("--beam", type=float, default=13.0)
    parser.add_argument("--lattice-beam", type=float, default=8.0)
    parser.add_argument("--word-symbol-table", default="")
    parser.add_bool("--allow-partial", True, "keep unfinished utterances")
    parser.add_argument("files", nargs="*")
    return parser


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
    assert "usage: hdnn-test" in printed.err
    assert said in printed.err.splitlines()[-1]


def test_help_exits_with_0(capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(["--help"])
    assert stopped.value.code == 0
    assert "keep unfinished utterances (default: True)" in " ".join(capsys.readouterr().out.split())


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
    assert "--beem=3" in capsys.readouterr().err


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
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.usefixtures("quiet_logging")
def test_run_turns_errors_into_one_line_and_a_status(capsys, outcome, status, said):
    def main(argv):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with pytest.raises(SystemExit) as stopped:
        run(main, "hdnn-test", [])
    printed = capsys.readouterr()
    assert stopped.value.code == status
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == (1 if said else 0)


@pytest.mark.usefixtures("quiet_logging")
def test_run_does_not_hide_programming_errors():
    def main(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main, "hdnn-test", [])


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_ends_early_is_an_error(lines):
    """One line sits in the buffer until the last flush; many break in the middle. Both must tell."""
    program = f"import time\ndef main(argv):\n    time.sleep(0.3)\n    for i in range({lines}): print(i)\n"
    program += "from hdnn_nnet.options import run\nrun(main, 'hdnn-test')\n"
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
