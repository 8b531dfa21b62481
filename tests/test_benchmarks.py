"""Every benchmark runs, with settings so small that its figures mean nothing; and what it prints has its form."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from hdnn_nnet.cli import call
from tests.support import tone_task
from tests.support.benchmarks import REPOSITORY, run

BENCHMARKS = sorted(path.stem for path in (REPOSITORY / "benchmarks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_help(name: str) -> None:
    first = run(name, "--help")[0]
    assert first.startswith(f"usage: benchmarks/{name}.py [options]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "rows"),
    [
        ("ce", ["--networks=hdnn-h16l2 dnn-h16l2", "--seconds=0.001", "--rounds=1", "--pdfs=30"], 2),
        ("kd", ["--student=hdnn-h16l2", "--teacher=dnn-h16l2", "--frames=1000", "--rounds=1", "--pdfs=30"], 3),
        ("smbr", ["--networks=hdnn-h16l2", "--utterances=2", "--rounds=1", "--pdfs=30"], 2),
        ("smbr_memory", ["--words=1 2"], 4),
        (
            "ratios",
            ["--networks=hdnn-h16l2", "--seconds=0.001", "--rounds=1", "--pdfs=30", "--frames=1000", "--utterances=2"],
            8,
        ),
        ("mkl", ["--networks=hdnn-h16l2", "--seconds=0.001", "--rounds=1", "--pdfs=30"], 2),
        ("scale", ["--utterances=400", "--frames=500", "--kinds=ce kd smbr"], 6),
        ("soft_labels", ["--utterances=2", "--rounds=1", "--pdfs=30"], 3),
    ],
)
def test_with_data_of_its_own(name: str, words: list[str], rows: int) -> None:
    lines = run(name, *words)
    table = [line for line in lines if line.startswith("| ")]
    assert len(table) == 1 + rows
    assert len({line.count("|") for line in table}) == 1


def test_terminal(tmp_path: Path) -> None:
    """What was on the terminal, when, and the silence that was made."""
    command = 'test -t 2 && echo one; sleep 0.7; printf "bar 1\\r"; sleep 0.2; printf "bar 2\\n\\033[1mtwo\\033[0m\\n"; exit 3'
    words = [sys.executable, "benchmarks/terminal.py", command, str(tmp_path / "seen.txt")]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    *lines, last = (tmp_path / "seen.txt").read_text().splitlines()
    assert [line.split()[1:] for line in lines] == [["one"], ["bar", "2"], ["two"]]
    found = re.match(r"longest silence: ([0-9.]+) s, from \d+ s on, behind: ", last)
    assert found
    assert float(found[1]) >= 0.6


@pytest.mark.slow
def test_g2p(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("television remote\nbutton\n")
    rows = run("g2p", "--only=espeak", "--words", tmp_path / "words")
    assert re.fullmatch(r"\| 3 words \|.*", rows[0])
    assert re.match(r"\| espeak-ng \| [0-9.]+ \(", rows[2])


@pytest.mark.slow
def test_adapt_batch() -> None:
    lines = run("adapt_batch", "--network=hdnn-h16l2", "--pdfs=30", "--speakers=2", "--updates=2", "--rounds=1")
    assert [re.sub(r"[\d.]+", "N", line) for line in lines] == [
        "one after the other: N frames/s",
        "side by side: N frames/s",
        "ratio of N speakers side by side: N (N to N)",
    ]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    tone_task.make(folder)
    return folder


@pytest.mark.slow
def test_decode(tones: Path) -> None:
    call("forward", [str(tones / "model"), str(tones / "data"), f"ark:{tones}/loglikes.ark"])
    model, graph = tones / "model/final.mdl", tones / "graph/HCLG.fst"
    head, *lines = run("decode", "--rounds=1", "--utterances=3", model, graph, f"ark:{tones}/loglikes.ark")
    assert head.startswith("3 utterances, ")
    figures = r"real-time factor \S+  start \S+ s  log-likelihood per frame \S+  arcs per utterance \d+"
    searches = ["k2", "numpy"] if find_spec("k2") else ["numpy"]
    for name, line in zip(searches, lines[: len(searches)], strict=True):
        assert re.fullmatch(rf"{name} +{figures}", line)


@pytest.mark.slow
def test_int8(tones: Path) -> None:
    words = ["--calibration-utterances=3", "--max-lmwt=5", "--utterances=4"]
    _, *lines = run("int8", *words, tones / "model", tones / "graph", tones / "data", tones / "data")
    assert [line.split("  ")[0].rstrip() for line in lines] == ["PyTorch", "ONNX float", "ONNX 8-bit"]
    assert all("WER 0.00 %" in line for line in lines)


@pytest.mark.slow
def test_deploy(tones: Path) -> None:
    model, graph, data, out = (str(tones / name) for name in ("model", "graph", "data", "export"))
    call("export nnet3", [model, graph, out])
    call("export onnx", [model, data, out])
    _, _, *lines = run("deploy", "--utterances=3", "--graph-dir", graph, data, f"tones={model}={out}")
    assert [line.split(" | ")[1] for line in lines] == ["PyTorch", "ONNX fp32", "ONNX int8", "Vosk"]
    assert all(line.split(" | ")[3] == "0.00" for line in lines)


ADAPT = """#!/usr/bin/env bash
mkdir -p "${@: -1}"
speakers='{"a": {"file": "f", "seconds": 1.5}, "b": {"seconds": 0.5}}'
echo '{"format": 1, "model": "'"${@: -3:1}"'", "signature": "x", "speakers": '"$speakers"'}' > "${@: -1}/index.json"
echo "$(basename "$0") $*" >> called
"""
DECODE = """#!/usr/bin/env bash
mkdir -p "${@: -1}/scoring_kaldi"
touch "${@: -1}/scoring_kaldi/best_wer"
echo "%WER 8.00 [ 8 / 100, 0 ins, 0 del, 8 sub ]" > "${@: -1}/wer_9_0.5"
echo "$(basename "$0") $*" >> called
"""


@pytest.mark.slow
def test_adapt(tmp_path: Path) -> None:
    """Steps that only leave files: what is called, what is not called again, and the table."""
    (tmp_path / "steps_py").mkdir()
    for name, script in (("adapt", ADAPT), ("decode", DECODE)):
        (tmp_path / f"steps_py/{name}.sh").write_text(script)
        (tmp_path / f"steps_py/{name}.sh").chmod(0o755)
    for seed in (1, 2):
        for part in ("dev", "eval"):
            decoded = tmp_path / f"hdnn_s{seed}/decode_{part}"
            decoded.mkdir(parents=True)
            (decoded / "wer_9_0.5").write_text(f"%WER {9 + seed}.00 [ {9 + seed} / 100, 0 ins, 0 del, 0 sub ]\n")
    words = ["--nj=2", "--teacher=big", "--updates=gates", "--iters=1 2", "--adapt-opts=--rate 0.1"]
    for _ in range(2):
        lines = run("adapt", *words, "data", "graph", "work", "hdnn_s1", "hdnn_s2", cwd=tmp_path)
        assert [line.split(" | ")[:5] for line in lines[2:]] == [
            ["| hdnn", "none", "-", "0", "2"],
            ["| hdnn", "hard", "gates", "5", "2"],
            ["| hdnn", "soft", "gates", "5", "2"],
        ]
        assert "10.50 ± 0.71" in lines[2]
        assert lines[3].endswith("| 4 of 8 | 1.00 |")
    assert (tmp_path / "work/iterations.png").is_file()
    called = (tmp_path / "called").read_text().splitlines()
    # Both sets for the table, dev alone for the figure; nothing twice.
    assert len(called) == len(set(called)) == 2 * 2 * (2 * 2 + 2 * 2)
    assert called[0] == (
        "adapt.sh --nj 2 --labels hard --update gates --iters 5 --lmwt 9 --rate 0.1 data/dev hdnn_s1 hdnn_s1/decode_dev "
        "work/hdnn_s1_hard_gates_5/dev"
    )
    # Another network of the same name.
    (tmp_path / "other").mkdir()
    (tmp_path / "hdnn_s1").rename(tmp_path / "other/hdnn_s1")
    said = run("adapt", *words, "data", "graph", "work", "other/hdnn_s1", cwd=tmp_path, status=1)
    assert (
        "work/hdnn_s1_hard_gates_5/dev is of hdnn_s1, not of other/hdnn_s1; give another directory than work"
        in said[-1]
    )
