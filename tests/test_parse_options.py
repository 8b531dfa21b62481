"""steps_py/parse_options.sh; its defaults and error exits, with and without `set -eu`, and beside Kaldi's own."""

import subprocess
from pathlib import Path

import pytest

STEPS = Path(__file__).resolve().parent.parent / "steps_py"

SCRIPT = """#!/usr/bin/env bash
# Usage: script.sh [options] <data>
#   e.g. script.sh --nj 4 data

# Not a part of the help.
{strict}
nj=4
use_gpu=false
cmd=run.py
scoring_opts=
config=
{extra}
. parse_options.sh {tail}
echo "nj=$nj use_gpu=$use_gpu cmd=$cmd scoring_opts=$scoring_opts"
for argument; do echo "argument=$argument"; done
"""


class Script:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.search = STEPS

    def __call__(self, *arguments: str, strict: str = "set -euo pipefail", extra: str = "", tail: str = ""):
        path = self.directory / "script.sh"
        path.write_text(SCRIPT.format(strict=strict, extra=extra, tail=tail))
        return subprocess.run(
            ["bash", path, *arguments],
            cwd=self.directory,
            env={"PATH": f"{self.search}:/usr/bin:/bin", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=20,
        )


@pytest.fixture(params=["set -euo pipefail", ""], ids=["strict", "lax"])
def strict(request) -> str:
    return request.param


@pytest.fixture
def script(tmp_path) -> Script:
    return Script(tmp_path)


DEFAULTS = "nj=4 use_gpu=false cmd=run.py scoring_opts=\n"

# Arguments, and what the script then prints. Kaldi's parse_options.sh must agree.
CASES = {
    "nothing": ([], DEFAULTS),
    "arguments only": (["data", "exp dir"], DEFAULTS + "argument=data\nargument=exp dir\n"),
    "option": (["--nj", "8", "data"], "nj=8 use_gpu=false cmd=run.py scoring_opts=\nargument=data\n"),
    "dashes": (["--use-gpu", "true"], "nj=4 use_gpu=true cmd=run.py scoring_opts=\n"),
    "value with spaces": (["--cmd", "queue.pl --mem 2G"], "nj=4 use_gpu=false cmd=queue.pl --mem 2G scoring_opts=\n"),
    "value like an option": (
        ["--scoring-opts", "--min-lmwt 4 --max-lmwt 9", "d"],
        "nj=4 use_gpu=false cmd=run.py scoring_opts=--min-lmwt 4 --max-lmwt 9\nargument=d\n",
    ),
    "empty value": (["--scoring-opts", "", "d"], DEFAULTS + "argument=d\n"),
    "last one wins": (["--nj", "1", "--nj", "2"], "nj=2 use_gpu=false cmd=run.py scoring_opts=\n"),
    "options end at the first argument": (["d", "--nj", "9"], DEFAULTS + "argument=d\nargument=--nj\nargument=9\n"),
    "config": (["--config", "x.conf", "d"], "nj=7 use_gpu=true cmd=run.py scoring_opts=\nargument=d\n"),
    "config yields to the command line": (
        ["--nj", "3", "--config", "x.conf"],
        "nj=3 use_gpu=true cmd=run.py scoring_opts=\n",
    ),
}


@pytest.mark.parametrize(("arguments", "printed"), CASES.values(), ids=CASES.keys())
def test_accepted(script, tmp_path, strict, arguments, printed):
    (tmp_path / "x.conf").write_text("nj=7 # jobs\nuse_gpu=true\n")
    result = script(*arguments, strict=strict)
    assert (result.returncode, result.stdout, result.stderr) == (0, printed, "")


@pytest.mark.kaldi
@pytest.mark.parametrize(("arguments", "printed"), CASES.values(), ids=CASES.keys())
def test_kaldi_accepts_the_same(script, tmp_path, kaldi_root, arguments, printed):
    (tmp_path / "x.conf").write_text("nj=7 # jobs\nuse_gpu=true\n")
    script.search = kaldi_root / "egs/wsj/s5/utils"
    # Kaldi's takes its configuration file from PATH or the working directory, and knows no `set -u`.
    assert script(*arguments, strict="PATH=$PATH:.").stdout == printed


def test_two_dashes_end_the_options(script):
    assert script("--nj", "2", "--", "--nj", "5").stdout.endswith("argument=--nj\nargument=5\n")
    assert script("--", "--config", "missing").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wrong", "1"], "unknown option --wrong"),
        (["--PATH", "/x"], "unknown option --PATH"),
        (["--nj;ls", "/x"], "unknown option --nj;ls"),
        (["--nj=4"], "--name value"),
        (["--nj"], "--nj needs a value"),
        (["--use-gpu", "maybe"], "expects true or false, got 'maybe'"),
        (["--use-gpu", ""], "expects true or false"),
        (["--config", "missing.conf"], "missing.conf"),
        (["--config"], "--config needs a value"),
        (["--cmd", ""], "--cmd"),
    ],
)
def test_refused(script, strict, arguments, said):
    result = script(*arguments, strict=strict)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("script.sh: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nx=3", "unknown option --nx; see --help"),
        ("--num-beams=3", "unknown option --num-beams; see --help"),
        ("PATH=/x", "unknown option --PATH; see --help"),
        ("use_gpu=maybe", "option --use_gpu expects true or false, got 'maybe'"),
        *(
            (line, f"expected name=value or --name=value, with quotes around spaces, not '{line}'")
            for line in (
                "nj=2 use_gpu=true", "cmd=queue.pl --mem 2G", "export nj=2", "nj=$(touch bad)", 'nj="`touch bad`"', "touch bad",
                "nj = 2", "nj", "--nj 2", "nj=~/x", "nj=2; touch bad", 'cmd="a', "[section]",
            )
        ),
    ],
)  # fmt: skip
def test_configuration_is_read_and_not_run(script, tmp_path, strict, line, said):
    (tmp_path / "x.conf").write_text(f"# some\n\nnj=1\n{line}\n")
    result = script("--config", "x.conf", strict=strict)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"script.sh: x.conf, line 4: {said}\n"
    assert not (tmp_path / "bad").exists()


def test_configuration_forms(script, tmp_path, strict):
    """Without a newline at the end, with one of Windows, with comments, and with what a shell would expand in quotes."""
    lines = [
        "  nj=2\r",
        'cmd="queue.pl  --mem 2G" # memory',
        "--use-gpu=true  # Kaldi's form",
        "scoring_opts='$HOME # `x` \\'",
    ]
    (tmp_path / "x.conf").write_text("\n".join(lines), newline="")
    result = script("--config", "x.conf", strict=strict)
    assert result.stdout == "nj=2 use_gpu=true cmd=queue.pl  --mem 2G scoring_opts=$HOME # `x` \\\n"
    (tmp_path / "x.conf").write_text("--scoring-opts=--min-lmwt=4 --max-lmwt=9 # Kaldi's form\n--cmd='run.pl'\n")
    result = script("--config", "x.conf", "--cmd", "run.py", strict=strict)
    assert result.stdout == "nj=4 use_gpu=false cmd=run.py scoring_opts=--min-lmwt=4 --max-lmwt=9\n"


@pytest.mark.parametrize(
    "path", sorted((STEPS.parent / "egs/ami/s5/conf").glob("*_*.conf")), ids=lambda path: path.name
)
def test_the_recipe_s_configurations(script, path):
    names = dict.fromkeys(line.partition("=")[0] for line in path.read_text().splitlines() if line[:1].isalpha())
    extra = "\n".join(f"{name}=" for name in names) + '\nshow() { for n in "$@"; do echo "$n=\\"${!n}\\""; done; }'
    result = script("--config", str(path), extra=extra, tail=f"; show {' '.join(names)}; exit")
    expected = [line for line in path.read_text().splitlines() if line[:1].isalpha()]
    assert result.stdout.replace('"', "").splitlines() == [line.replace('"', "") for line in expected]


def test_refused_even_where_the_script_looks_away(script):
    assert script("--wrong", "1", strict="", tail="|| true").returncode == 1


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(script, strict, option):
    result = script(option, strict=strict)
    assert result.returncode == 0
    assert result.stdout == "Usage: script.sh [options] <data>\n  e.g. script.sh --nj 4 data\n"
    result = script(option, strict=strict, extra='help_message="Say\\nthis"')
    assert (result.returncode, result.stdout) == (0, "Say\nthis\n")
    result = script("--nj", "1", option, strict=strict, extra="usage() { echo called; exit 1; }")
    assert (result.returncode, result.stdout) == (0, "called\n")


def test_values_are_not_evaluated(script, tmp_path):
    result = script("--scoring-opts", '$(touch bad) `touch bad` "; touch bad', "d")
    assert result.returncode == 0
    assert 'scoring_opts=$(touch bad) `touch bad` "; touch bad\n' in result.stdout
    assert not (tmp_path / "bad").exists()


def test_nothing_is_left_behind(script):
    result = script("--nj", "2", extra="trap 'compgen -v _po_ || true; compgen -A function _po_ || true' EXIT")
    assert result.stdout == "nj=2 use_gpu=false cmd=run.py scoring_opts=\n"
