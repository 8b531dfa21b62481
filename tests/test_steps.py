"""What all steps have in common: help, number of arguments, options handed on to programs and looked at before any job."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from hdnn_nnet.cli import load
from hdnn_nnet.options import read_config, walk
from tests.support import fixture_recipe
from tests.support.fixture_recipe import REPOSITORY

SCRIPTS = sorted(
    path for place in ("steps_py", "local") for path in (REPOSITORY / place).glob("*.sh") if os.access(path, os.X_OK)
)
#: step -> the command of hdnn that takes what is not the step's own
PROGRAMS = {
    path.stem: found[1] for path in SCRIPTS if (found := re.search(r'^program="(.*)"$', path.read_text(), re.MULTILINE))
}


def run(folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    place = "steps_py" if (REPOSITORY / f"steps_py/{name}.sh").exists() else "local"
    return fixture_recipe.step(folder, f"../{place}/{name}.sh", *words)


def arguments_of(name: str) -> list[str]:
    """As many arguments as the usage asks for at least."""
    (text,) = (path.read_text() for path in SCRIPTS if path.stem == name)
    usage = re.search(r"^# usage: \S+ (.*)", text, re.MULTILINE)
    assert usage
    required = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", usage[1]))
    names = re.findall("<([^<>]*)>", required)
    return ["9" if name in ("leaves", "gaussians") else f"a{i}" for i, name in enumerate(names)]


def complaint(done: subprocess.CompletedProcess[str], name: str) -> str:
    """The one line that a step said after its own command line."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 2), done.stderr
    assert lines[1].startswith(f"{name}.sh: ")
    return lines[1]


def test_there_are_steps_with_and_without_a_program() -> None:
    assert len(SCRIPTS) > 20
    assert {"train_ce", "train_kd", "train_smbr", "train_mono", "adapt", "align", "make_feats", "score"} <= set(
        PROGRAMS
    )
    assert not {"decode", "make_denlats", "mkgraph", "gmm"} & set(PROGRAMS)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help(path: Path, tmp_path: Path) -> None:
    """Opening comment, the step's own options, and those of its program, which are stated nowhere else."""
    done = run(tmp_path, path.stem, "--help")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert f"\nusage: {path.name} " in done.stdout
    assert f"\ne.g.:  {path.name} " in done.stdout
    before = path.read_text().partition("\n. ")[0]
    own = set(re.findall(r"^([a-z0-9_]+)=", before, re.MULTILINE)) - {"program"}
    program = PROGRAMS.get(path.stem)
    known = (
        {field.name for field in walk(load(program).Options) if field.metadata["hdnn"].kind == "option"}
        if program
        else set()
    )
    for option in own | known - {"job", "num_jobs"}:
        assert re.search(rf"^  --{option.replace('_', '-')}\b", done.stdout, re.MULTILINE), option
    assert not re.search(r"^  --(job|num-jobs|program)\b(?!s)", done.stdout, re.MULTILINE)
    assert "program=" not in done.stdout
    assert not list(tmp_path.iterdir())


def test_steps_share_options_through_one_file(tmp_path: Path) -> None:
    for name in ("train_ce", "train_kd", "train_smbr"):
        assert re.search(r"^  --num-procs N .*\n.*\(default: 1\)$", run(tmp_path, name, "--help").stdout, re.MULTILINE)
    for name in ("decode", "make_denlats"):
        assert re.search(
            r"^  --beam X +of the search \(default: 13.0\)$", run(tmp_path, name, "--help").stdout, re.MULTILINE
        )


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_wrong_number_of_arguments(path: Path, tmp_path: Path) -> None:
    words = arguments_of(path.stem)
    too_many = (
        [words[:-1]]
        if "..." in path.read_text() or path.stem in ("make_feats", "make_ssl_feats")
        else [words[:-1], [*words, "x", "y"]]
    )
    for wrong in too_many:
        done = run(tmp_path, path.stem, *wrong)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"\nusage: {path.name} " in done.stderr
        assert f"\n{path.name}: wrong number of arguments" in done.stderr
    assert not list(tmp_path.iterdir())


#: step -> wrong options of its program or its own, and what is said of them
WRONG: dict[str, list[tuple[list[str], str]]] = {
    "train_ce": [
        (["--learn-rat", "0.1"], "unknown option --learn-rat (did you mean --learn-rate?); see --help"),
        (["--learn-rate", "fast"], "argument --learn-rate: invalid float value: 'fast'; see --help"),
        (["--momentum", "1.5"], "--momentum must be below 1, not 1.5"),
        (["--network", "lstm"], "'lstm' is not a network name"),
        (["--device", "gpu"], "--device must be auto, cpu, cuda or cuda:N, not 'gpu'"),
        (["--tied-gates", "maybe"], "argument --tied-gates: expected true or false, got 'maybe'"),
        (["--train-opts", "--no-such 1"], "unknown option --no-such"),
        (["--network=dnn-h8l2"], "options are written --name value, not --network=dnn-h8l2"),
        (["--num-procs", "two"], "option --num-procs expects a number from 1, got 'two'"),
        (["--retries", ""], "option --retries expects a whole number, got ''"),
        (["--config", "none.conf"], "cannot read the configuration file 'none.conf'"),
    ],
    "train_kd": [(["--temperature", "0"], "--temperature must be above 0")],
    "train_smbr": [
        (["--criterion", "mce"], "argument --criterion: invalid choice: 'mce'"),
        (["--smooth-kd", "0.2"], "--smooth-kd and --teacher belong together"),
        (["--update", "gate"], "no parameter group gate; there are hidden, gates, softmax"),
        (["--priors", "yes"], "option --priors expects true or false"),
    ],
    "train_mono": [(["--totgauss", "0"], "--totgauss must be at least 1"), (["--stage", "x"], "--stage expects a whole number")],
    "align": [
        (["--max-missing", "2"], "--max-failed must be at most 1"),
        (["--beam", "-1"], "--beam must be above 0"),
        (["--scale-opts", "--acoustic-scale=no"], "invalid float value: 'no'"),
        (["--num-jobs", "3"], "unknown option --num-jobs; the number of jobs is --nj"),
        (["--nj", "0"], "option --nj expects a number from 1, got '0'"),
    ],
    "train_lda_mllt": [(["--dim", "0"], "--dim must be at least 1"), (["--splice", "3"], "unknown option --splice")],
    "train_sat": [(["--silence-weight", "-1"], "--silence-weight must be at least 0"), (["--stage", "x"], "--stage")],
    "align_fmllr": [(["--beam", "0"], "--beam must be above 0"), (["--max-failed", "x"], "--max-failed")],
    "make_fmllr_feats": [(["--compress", "x"], "argument --compress: expected true or false, got 'x'")],
    "decode_fmllr": [
        (["--silence-weight", "-1"], "--silence-weight must be at least 0"),
        (["--rescore", "x"], "option --rescore expects true or false"),
        (["--first-beam", "0"], "--beam must be above 0"),
    ],
    "train_deltas": [(["--cluster-thresh", "x"], "argument --cluster-thresh: invalid float value")],
    "align_si": [(["--boost-silence", "0"], "--boost-silence must be above 0"), (["--max-failed", "x"], "--max-failed")],
    "adapt": [
        (["--rate", "0"], "--rate must be above 0"),
        (["--lmwt", "0"], "--lmwt must be above 0"),
        (["--confidence", "some"], "--confidence must be one of none, pdf, phone, word, not some"),
        (["--job", "2"], "unknown option --job"),
    ],
    "make_feats": [(["--type", "plp"], "--type must be one of mfcc, fbank, not plp"), (["--feat-config", "no.conf"], "no.conf")],
    "make_priors": [(["--num-utts", "0"], "--num-utts must be at least 1")],
    "make_soft_labels": [(["--mass", "2"], "--mass must be at most 1"), (["--forward-opts", "--device gpu"], "'gpu'")],
    "export_nnet3": [(["--feat-type", "plp"], "argument --feat-type: invalid choice")],
    "export_onnx": [(["--check-utterances", "-1"], "--check-utterances must be at least 0")],
    "mkgraph": [(["--self-loop-scale", "-1"], "--self-loop-scale must be at least 0"), (["--beam", "3"], "unknown option")],
    "decode": [
        (["--beam", "0"], "--beam must be above 0"),
        (["--decoder", "k2", "--latgen-opts", "--no-such 1"], "unknown option --no-such"),
        (["--decoder", "htk"], "--decoder must be one of auto, kaldi, k2, numpy, not htk"),
        (["--forward-opts", "--prior-scale x"], "argument --prior-scale: invalid float value"),
        (["--max-missing", "7"], "--max-missing must be at most 1"),
        (["--network", "x"], "unknown option --network; see --help"),
    ],
    "make_denlats": [(["--acwt", "0"], "--acoustic-scale must be above 0"), (["--max-missing", "-1"], "--max-missing")],
    "score": [(["--min-lmwt", "0"], "--min-lmwt must be at least 1"), (["--sclite", "x"], "expects true or false")],
    "score_sclite": [(["--frame-shift", "0"], "--frame-shift must be above 0")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words", "said"), [(name, words, said) for name, cases in WRONG.items() for words, said in cases]
)
def test_a_wrong_option_is_one_line_before_anything_is_done(
    name: str, words: list[str], said: str, tmp_path: Path
) -> None:
    done = run(tmp_path, name, *words, *arguments_of(name))
    assert said in complaint(done, name)
    assert not list(tmp_path.iterdir())


FRAMES = {
    "--splice": "4", "--cmvn-opts": "--norm-means=true --norm-vars=true", "--delta-opts": "--delta-order=2",
    "--learn-rate": "0.01", "--minibatch-size": "128", "--max-iters": "3", "--init": "exp/x.safetensors", "--seed": "1",
    "--device": "cpu", "--precision": "fp32", "--num-procs": "2", "--retries": "0", "--cmd": "queue.pl --mem 2G",
    "--network": "dnn-h8l2", "--train-opts": "--num-threads 1 --min-iters=2",
}  # fmt: skip
EXPORT = {
    "--cmd": "run.pl", "--weights": "w.safetensors", "--params": "p", "--feat-type": "fbank", "--feat-config": "x.conf",
    "--trained-on": "AMI, train", "--licence": "none", "--check-data": "data/dev", "--check-utterances": "0",
}  # fmt: skip
SEARCH = {
    "--nj": "2", "--cmd": "run.pl", "--acwt": "0.1", "--beam": "11.0", "--lattice-beam": "6.0", "--min-active": "100",
    "--max-active": "1000", "--max-mem": "20000000", "--num-threads": "2", "--decoder": "kaldi", "--max-missing": "0.1",
    "--forward-opts": "--device cuda", "--latgen-opts": "--minimize=true",
}  # fmt: skip
#: Every option that steps had when each kept a list of its own, before `hdnn`.
OLD: dict[str, dict[str, str]] = {
    "train_ce": FRAMES | {"--activation": "relu", "--gates": "coupled", "--tied-gates": "false", "--momentum": "0"},
    "train_kd": FRAMES | {
        "--temperature": "2", "--hard-weight": "0.2", "--square-temperature": "true", "--unlabelled-data": "data/a data/b",
        "--teacher-data": "data/t",
    },
    "train_smbr": {
        "--cmd": "run.pl", "--criterion": "mmi", "--num-iters": "2", "--learn-rate": "1e-5", "--batch-utts": "4",
        "--acwt": "0.2", "--lmwt": "1.0", "--one-silence-class": "false", "--boost": "0.1", "--smooth-ce": "0.1",
        "--smooth-kd": "0.2", "--teacher": "exp/t", "--teacher-data": "data/t", "--update": "hidden,gates", "--decode": "true",
        "--seed": "1", "--device": "cpu", "--precision": "fp32", "--num-procs": "2", "--retries": "1", "--priors": "false",
        "--train-opts": "--num-threads 1",
    },
    "train_mono": {
        "--nj": "2", "--cmd": "run.pl", "--num-iters": "5", "--max-iter-inc": "3", "--totgauss": "200", "--power": "0.2",
        "--boost-silence": "1.5", "--initial-beam": "8", "--beam": "12", "--retry-beam": "50",
        "--cmvn-opts": "--norm-vars=true", "--delta-opts": "--delta-order=1", "--max-failed": "0.1", "--seed": "1",
        "--stage": "1",
    },
    "align": {
        "--nj": "2", "--cmd": "run.pl", "--beam": "12", "--retry-beam": "50", "--max-missing": "0.1",
        "--scale-opts": "--transition-scale=1.0 --acoustic-scale=0.1 --self-loop-scale=0.1", "--forward-opts": "--device cuda",
    },
    "align_si": {
        "--nj": "2", "--cmd": "run.pl", "--beam": "12", "--retry-beam": "50", "--boost-silence": "1.5", "--max-failed": "0.1",
    },
    "adapt": {
        "--nj": "2", "--cmd": "run.pl", "--labels": "hard", "--update": "all", "--iters": "3", "--rate": "0.001",
        "--minibatch-size": "128", "--held-out": "0.2", "--guard": "false", "--early-stop": "true", "--min-frames": "0",
        "--lmwt": "12", "--confidence": "word", "--min-confidence": "0.5", "--weight-frames": "true", "--temperature": "2",
        "--teacher-data": "data/t", "--seed": "1", "--adapt-opts": "--device cuda",
    },
    "make_feats": {
        "--nj": "2", "--cmd": "run.pl", "--type": "fbank", "--feat-config": "", "--compress": "false", "--max-missing": "0.1",
    },
    "make_priors": {"--nj": "2", "--cmd": "run.pl", "--num-utts": "5", "--seed": "1", "--forward-opts": "--device cuda"},
    "make_soft_labels": {
        "--nj": "2", "--cmd": "run.pl", "--mass": "0.9", "--temperature": "2", "--form": "kaldi",
        "--forward-opts": "--device cuda",
    },
    "export_nnet3": EXPORT | {
        "--binary": "false", "--lm-weight": "12", "--beam": "11.0", "--lattice-beam": "4.0", "--min-active": "200",
        "--max-active": "2000",
    },
    "export_onnx": EXPORT | {"--calibration-utterances": "10", "--reduce-range": "true"},
    "mkgraph": {
        "--cmd": "run.pl", "--transition-scale": "1.0", "--self-loop-scale": "0.1", "--use-kaldi": "false", "--force": "true",
    },
    "decode": SEARCH | {
        "--stage": "0", "--srcdir": "exp/x", "--model": "x.mdl", "--adapt-dir": "exp/adapted", "--skip-scoring": "true",
        "--scoring-opts": "--min-lmwt 4 --max-lmwt 15",
    },
    "make_denlats": SEARCH | {"--dengraph": "exp/g", "--mkgraph-opts": "--self-loop-scale 0.2"},
    "score": {
        "--cmd": "run.pl", "--stage": "0", "--min-lmwt": "4", "--max-lmwt": "15", "--word-ins-penalty": "0.0,0.5,1.0",
        "--filter": "local/wer_filter", "--allow-missing": "true", "--sclite": "true",
    },
    "score_sclite": {
        "--cmd": "run.pl", "--stage": "0", "--min-lmwt": "4", "--max-lmwt": "15", "--word-ins-penalty": "0.5",
        "--frame-shift": "0.01", "--model": "x.mdl",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_old_options_are_still_taken(name: str, tmp_path: Path) -> None:
    """The next complaint, of a file that is not there, says that all options were right."""
    words = [word for pair in OLD[name].items() for word in pair]
    done = run(tmp_path, name, *words, *arguments_of(name))
    assert "does not exist" in complaint(done, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "option"), [("train_ce", "--learn-rate"), ("export_nnet3", "--lm-weight")])
def test_an_empty_value_is_the_default(name: str, option: str, tmp_path: Path) -> None:
    done = run(tmp_path, name, option, "", *arguments_of(name))
    assert "does not exist" in complaint(done, name)


STEP = f"""#!/usr/bin/env bash
# A step.
# usage: show.sh [options] [<data> [<more> ...]]
# e.g.:  show.sh data

nj=4
cmd="run.py --mem 1G"  # launcher
seed_of_own=7
program="train ce"
. {REPOSITORY}/steps_py/step.sh || exit 1
printf '%s\\n' "nj=$nj" "cmd=$cmd" "${{program_options[@]}}" -- "$@"
"""


def show(folder: Path, *words: str, text: str = STEP, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "show.sh").write_text(text)
    path = f"{Path(fixture_recipe.__file__).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "show.sh", *words], cwd=folder, env=os.environ | environment | {"PATH": path}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_options_are_handed_on_word_by_word(tmp_path: Path) -> None:
    words = [
        "--cmvn-opts",
        "--norm-means=true --norm-vars=true",
        "--nj",
        "8",
        "--init",
        "",
        "--max_iters",
        "3",
        "data",
        "--nj",
    ]
    done = show(tmp_path, *words)
    expected = [
        "nj=8",
        "cmd=run.py --mem 1G",
        "--cmvn-opts=--norm-means=true --norm-vars=true",
        "--init=",
        "--max-iters=3",
    ]
    assert done.stdout.splitlines() == [*expected, "--", "data", "--nj"]
    assert done.stderr == f"show.sh {' '.join(words)}\n"


def test_as_many_arguments_as_the_usage_says(tmp_path: Path) -> None:
    for usage, right, wrong in (
        ("<a> <b|c>", (2,), (0, 1, 3)),
        ("[options] <a> [<b> [<c>]]", (1, 2, 3), (0, 4)),
        ("[options] [<a>] <b>", (1, 2), (0, 3)),
        ("[options] <a> <b>...", (2, 9), (0, 1)),
        ("[options] <a> [<b> ...]", (1, 9), (0,)),
        ("[options]", (0,), (1,)),
    ):
        text = re.sub("(# usage: show.sh) .*", rf"\1 {usage}", STEP)
        for count in (*right, *wrong):
            assert show(tmp_path, *map(str, range(count)), text=text).returncode == int(count in wrong), (usage, count)


def test_the_environment_takes_no_option_away(tmp_path: Path) -> None:
    """Variables that happen to be called as options of the program, or as what the steps use themselves."""
    done = show(
        tmp_path, "--seed", "5", "--nj", "2", seed="1", network="x", nj="9", program="adapt", step_options="seed"
    )
    assert done.stdout.splitlines() == ["nj=2", "cmd=run.py --mem 1G", "--seed=5", "--"]
    without = STEP.replace('program="train ce"\n', "")
    done = show(tmp_path, "--seed", "5", text=without, program="train ce", seed="1")
    assert (done.returncode, done.stderr.splitlines()[1]) == (1, "show.sh: unknown option --seed; see --help")


def test_a_configuration_file_for_step_and_program(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text(
        "nj=6 # jobs\nlearn_rate=0.1\n--max-iters=3\ncmd='run.pl --gpu 1'\n--cmvn-opts=--a=b --c=d\n"
    )
    done = show(tmp_path, "--learn-rate", "0.2", "--config", "x.conf", "d")
    expected = ["nj=6", "cmd=run.pl --gpu 1", "--learn-rate=0.1", "--max-iters=3", "--cmvn-opts=--a=b --c=d"]
    assert done.stdout.splitlines() == [*expected, "--learn-rate=0.2", "--", "d"]  # the last one wins


@pytest.mark.parametrize(
    "line",
    [
        "network=dnn-h8l2", "cmvn_opts='--norm-means=true --norm-vars=true'  # both", 'delta_opts="--delta-order=2"',
        "--cmvn-opts=--norm-means=true --norm-vars=true # both", "  --seed=3", "init=", "--init=", 'init="a # b"', "--seed=3\r",
        "# nothing", "", "   ", "update=a,b", "dir=/x/y-z_1.2",
    ],
)  # fmt: skip
def test_steps_and_programs_read_the_same_files(line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text(line + "\n", newline="")
    done = show(tmp_path, "--config", "x.conf")
    found = done.stdout.splitlines()[2:-1]
    assert found == read_config(path)


RUN = REPOSITORY / "egs/ami/s5/run.sh"


def recipe(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """run.sh from another directory; it ends before its first stage."""
    return subprocess.run(["bash", RUN, *words], cwd=folder, capture_output=True, text=True, check=False)


def test_the_recipe_tells_all_its_options(tmp_path: Path) -> None:
    done = recipe(tmp_path, "--help")
    assert done.returncode == 0
    block = RUN.read_text().partition("# Begin configuration.")[2].partition("# End configuration.")[0]
    stated = dict(re.findall(r'^([a-z_0-9]+)=("[^"]*"|\S*)', block, re.MULTILINE))
    assert len(stated) > 35
    for name, default in stated.items():
        found = re.search(rf"^  --{name.replace('_', '-')} \S+((?:\n? .*)+)", done.stdout, re.MULTILINE)
        assert found, name
        text = " ".join(found[0].split("\n  --")[0].split())
        assert not default or "default" in text, name
    assert "usage: run.sh [options]" in done.stdout
    assert "e.g.:  run.sh --corpus mini" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stage", "abc"], "option --stage expects a number from 0 to 14, got 'abc'"),
        (["--stage", "99"], "option --stage expects a number from 0 to 14, got '99'"),
        (["--stage", "-1"], "option --stage expects a number from 0 to 14, got '-1'"),
        (["--stage", ""], "option --stage expects a number from 0 to 14, got ''"),
        (["--stop-stage", "1e1"], "option --stop-stage expects a number from 0 to 14"),
        (["--stage", "5", "--stop-stage", "4"], "--stage 5 is after --stop-stage 4: nothing to do"),
        (["--corpus", "AMI"], "--corpus must be one of mini, ami"),
        (["--toolkit", "Kaldi"], "--toolkit must be one of auto, python, kaldi, not Kaldi"),
        (["--gmm", "tri3"], "--gmm must be one of mono, tri4a, not tri3"),
        (["--nj", "0"], "option --nj expects a number from 1, got '0'"),
        (["--hours-train", "much"], "option --hours-train expects a number, got 'much'"),
        (["--max-iters", "2.5"], "option --max-iters expects a number from 1, got '2.5'"),
        (["--preflight", "maybe"], "option --preflight expects true or false, got 'maybe'"),
        (["--networks", "lstm"], "'lstm' is not a network name"),
        (["--stge", "3"], "unknown option --stge; see --help"),
        (
            ["--corpus", "own", "--data", ".", "--name", "my voice"],
            "--name 'my voice': a name of directories has letters",
        ),
        (["--corpus", "own", "--data", ".", "--name", "../x"], "--name '../x': a name of directories has letters"),
        (
            ["--corpus", "own", "--data", ".", "--name", "mini_kaldi"],
            "--name mini_kaldi: these directories are another",
        ),
        (["--corpus", "own", "--data", ".", "--lm-text", "no.txt"], "no.txt does not exist"),
        (["--temperatures", "1 cold"], "--temperature: invalid float value: 'cold'"),
        (["--hard-weights", "-1"], "--hard-weight must be at least 0, not -1.0"),
        (["--smbr", "hdnn-h1l1"], "--smbr hdnn-h1l1: there will be no such model, but hdnn-h128l10"),
        (["--adapt", "hdnn-h128l10_kd_smbr"], "--adapt hdnn-h128l10_kd_smbr: there will be no such model"),
        (["--gmm-wer", "tri3"], "--gmm-wer tri3: expected mono, tri1, tri2a, tri3a or all"),
        (["--cmvn-opts", "yes"], "cmvn_opts 'yes': 'yes' is not one of --norm-means="),
        (["--adapt-update", "biases"], "no parameter group biases"),
        (["--beam", "0"], "--beam must be above 0"),
    ],
)
def test_the_recipe_refuses_what_it_cannot_do(words: list[str], said: str, tmp_path: Path) -> None:
    done = recipe(tmp_path, *words)
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "=== stage" not in done.stderr
    assert not list(tmp_path.iterdir())
