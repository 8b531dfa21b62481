"""Scoring against Kaldi's own WER files and hypotheses."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
from hdnn_nnet.score.text import WordFilter
from hdnn_nnet.score.wer import GAP, Alignment, align, compute_wer, per_speaker, per_utterance

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def decoded(kaldi_fixture: Path, tmp_path: Path) -> Path:
    """A decode directory with Kaldi's lattices in two jobs."""
    folder = tmp_path / "decode"
    folder.mkdir()
    (folder / "num_jobs").write_text("2\n")
    entries = list(read_lattices(kaldi_fixture / "exp/decode/lat.1.gz"))
    for job, part in ((1, entries[:1]), (2, entries[1:])):
        with LatticeWriter(f"ark:| gzip -c > {folder}/lat.{job}.gz") as writer:
            for key, lattice in part:
                writer.write_lattice(key, lattice)
    return folder


def run_score(fixture: Path, folder: Path, *options: str) -> int:
    common = ["--min-lmwt=7", "--max-lmwt=12", "--word-ins-penalty=0.0,1.0", *options]
    return call("score", [*common, str(fixture / "data/test"), str(fixture / "graph"), str(folder)])


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def test_wer_files_equal_kaldi_s(kaldi_fixture: Path, decoded: Path) -> None:
    (decoded / "wer_3_9.9").write_text("%WER 0.00 [ 0 / 28, 0 ins, 0 del, 0 sub ]\n")  # of an earlier sweep
    assert run_score(kaldi_fixture, decoded) == 0
    kaldi = kaldi_fixture / "exp/decode"
    pairs = [(f"{n}_0.0", str(n), f"penalty_0.0/{n}.txt") for n in range(7, 13)]
    pairs.append(("7_1.0", "7_wip1.0", "penalty_1.0/7.txt"))
    for ours, theirs, text in pairs:
        assert (decoded / f"wer_{ours}").read_text() == (kaldi / f"wer_{theirs}").read_text()
        assert lines(decoded / "scoring_kaldi" / text) == lines(kaldi / f"hyp_{theirs}.txt")
    assert (decoded / "scoring_kaldi/best_wer").read_text() == (
        f"%WER 39.29 [ 11 / 28, 3 ins, 5 del, 3 sub ] {decoded}/wer_7_0.0\n"
    )
    speakers = lines(decoded / "scoring_kaldi/wer_details/per_spk")
    assert ["SUM", "raw", "4", "28", "20", "3", "3", "5", "11", "4"] in speakers
    per_utt = lines(decoded / "scoring_kaldi/wer_details/per_utt")
    assert sum(int(row[2]) for row in per_utt if row[1] == "#csid") == 20


def test_missing_and_extra_utterances(
    kaldi_fixture: Path, decoded: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    shutil.copytree(kaldi_fixture / "data/test", data, copy_function=shutil.copyfile)
    data.chmod(0o755)
    text, utt2spk = (data / "text").read_text(), (data / "utt2spk").read_text()
    (data / "text").write_text(text + "spkZ-test1 one two\n")
    (data / "utt2spk").write_text(utt2spk + "spkZ-test1 spkZ\n")
    words = [str(data), str(kaldi_fixture / "graph"), str(decoded)]
    with pytest.raises(HdnnError, match=r"1 of 5 utterances.*spkZ-test1"):
        call("score", words)
    assert call("score", ["--allow-missing=true", *words]) == 0
    report = (decoded / "wer_10_0.0").read_text()
    assert "[PARTIAL]" in report
    assert "Scored 4 sentences, 1 not present in hyp." in report
    (data / "text").write_text("".join(text.splitlines(keepends=True)[:3]))
    assert call("score", words) == 0
    assert "1 lattices have no reference" in caplog.text
    for bad in ("--word-ins-penalty=x", "--min-lmwt=0", "--word-ins-penalty="):
        with pytest.raises(HdnnError, match=r"expected|at least 1|empty"):
            call("score", [bad, *words])


def test_choice_on_dev_is_reported_on_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def put(folder: str, name: str, errors: int) -> None:
        (tmp_path / folder).mkdir(exist_ok=True)
        text = f"%WER {errors}.00 [ {errors} / 100, 0 ins, 0 del, {errors} sub ]\n%SER\n"
        (tmp_path / folder / name).write_text(text)

    for name, dev, test in (("wer_9_0.0", 20, 5), ("wer_10_0.5", 10, 7), ("wer_11_0.5", 10, 6)):
        put("dev", name, dev)
        put("eval", name, test)
    assert call("best-wer", ["--dev", str(tmp_path / "dev"), "--eval", str(tmp_path / "eval")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in shown] == [f"{tmp_path}/dev/wer_10_0.5", f"{tmp_path}/eval/wer_10_0.5"]
    assert shown[1].startswith("%WER 7.00 [ 7 / 100")
    with pytest.raises(HdnnError, match="--eval needs --dev"):
        call("best-wer", ["--eval", str(tmp_path / "eval")])
    with pytest.raises(HdnnError, match="holds no wer_N_P"):
        call("best-wer", [str(tmp_path)])


def test_word_filter(tmp_path: Path) -> None:
    path = tmp_path / "filter"
    path.write_text("# fillers\nUH\n[laughter]\nGONNA GOING TO\n")
    assert WordFilter.read(path)(["UH", "I'M", "GONNA", "uh", "GO", "[laughter]"]) == ["I'M", "GOING", "TO", "uh", "GO"]
    path.write_text("UH\nUH UM\n")
    with pytest.raises(HdnnError, match="second rule for UH"):
        WordFilter.read(path)


def edit_distance(a: list[str], b: list[str]) -> int:
    table = np.add.outer(np.arange(len(a) + 1), np.arange(len(b) + 1))
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (x != y))
    return int(table[-1, -1])


sentences = st.lists(st.sampled_from("abcd"), max_size=7)


@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=4))
def test_counts_are_edit_distances(pairs: list[tuple[list[str], list[str]]]) -> None:
    reference = {str(i): a for i, (a, _) in enumerate(pairs)}
    hypothesis = {str(i): b for i, (_, b) in enumerate(pairs)}
    stats = compute_wer(reference, hypothesis)
    assert stats.errors == sum(edit_distance(a, b) for a, b in pairs)
    assert stats.insertions - stats.deletions == sum(len(b) - len(a) for a, b in pairs)
    for item in align(reference, hypothesis):
        assert [w for w in item.reference if w != GAP] == reference[item.key]
        assert [w for w in item.hypothesis if w != GAP] == hypothesis[item.key]
        assert sum(op != "C" for op in item.operations) == edit_distance(reference[item.key], hypothesis[item.key])


def test_reports() -> None:
    item = Alignment("u1", ["A", "BB", GAP], ["A", GAP, "CCCC"])
    assert per_utterance([item]).splitlines() == [
        "u1 ref  A   BB   ***",
        "u1 hyp  A  ***  CCCC",
        "u1 op   C   D     I ",
        "u1 #csid 1 0 1 1",
    ]
    with pytest.raises(HdnnError, match="not in utt2spk"):
        per_speaker([item], {})
    with pytest.raises(HdnnError, match="u2 has no hypothesis"):
        compute_wer({"u2": ["A"]}, {})
    assert compute_wer({"u2": ["A"]}, {}, mode="all").deletions == 1


@pytest.mark.kaldi
def test_compute_wer_equals_kaldi(kaldi_root: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    program = kaldi_root / "src/bin/compute-wer"
    if not program.exists():
        pytest.skip("compute-wer is not built")
    text = {
        name: {f"u{i}": [str(w) for w in random.integers(0, 5, random.integers(0, 12))] for i in range(40)}
        for name in "rh"
    }
    for name, table in text.items():
        (tmp_path / name).write_text("".join(" ".join([k, *w]) + "\n" for k, w in table.items()))
    command = [str(program), "--text", "--mode=present", f"ark:{tmp_path}/r", f"ark:{tmp_path}/h"]
    expected = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert compute_wer(text["r"], text["h"], mode="present").report() == expected


def test_word_times_equal_kaldi_s(kaldi_fixture: Path, decoded: Path) -> None:
    places = [str(kaldi_fixture / name) for name in ("data/test", "graph", "exp/tri/final.mdl")]
    assert call("ctm", ["--min-lmwt=10", "--max-lmwt=10", *places, str(decoded)]) == 0
    assert lines(decoded / "ascore_10/test.ctm") == lines(kaldi_fixture / "exp/decode/test_10.ctm")


def test_word_times_in_a_recording(kaldi_fixture: Path, decoded: Path, tmp_path: Path) -> None:
    data = tmp_path / "rec"
    data.mkdir()
    keys = ["spkB-test1", "spkB-test2", "spkC-test1", "spkC-test2"]
    (data / "segments").write_text("".join(f"{key} rec {10 * n} {10 * n + 3}\n" for n, key in enumerate(keys, 1)))
    (data / "reco2file_and_channel").write_text("rec file A\n")
    places = [str(data), *(str(kaldi_fixture / name) for name in ("graph", "exp/tri/final.mdl"))]
    assert call("ctm", ["--min-lmwt=10", "--max-lmwt=10", *places, str(decoded)]) == 0
    rows = lines(decoded / "ascore_10/rec.ctm")
    assert rows[0] == ["file", "A", "10.170", "0.220", "four"]
    starts = [float(row[2]) for row in rows]
    assert starts == sorted(starts)
    (data / "segments").write_text("spkB-test1 rec 10 13\n")
    with pytest.raises(HdnnError, match="no utterance spkB-test2"):
        call("ctm", [*places, str(decoded)])


def stm_rows(data: Path) -> list[str]:
    """One row for every segment of a data directory, in the order of recording and time."""
    text = {key: words for key, *words in lines(data / "text")}
    return [
        f"{recording} A {utt[:4]} {float(start):.2f} {float(end):.2f} {' '.join(text[utt]).upper()}\n"
        for utt, recording, start, end in lines(data / "segments")
    ]


@pytest.fixture
def by_time(kaldi_fixture: Path, decoded: Path, tmp_path: Path) -> Path:
    """A data directory with a recording for each speaker, stm and glm; beside it a decode directory."""
    data = tmp_path / "timed"
    shutil.copytree(kaldi_fixture / "data/test", data)
    keys = [key for key, *_ in lines(data / "text")]
    rows = [f"{key} {key[:4]} {10 * (n % 2) + 5} {10 * (n % 2) + 14}\n" for n, key in enumerate(keys)]
    (data / "segments").write_text("".join(rows))
    (data / "reco2file_and_channel").write_text("spkB spkB A\nspkC spkC A\n")
    (data / "stm").write_text("".join(stm_rows(data)))
    shutil.copy(REPOSITORY / "local/ami.glm", data / "glm")
    shutil.copytree(decoded, tmp_path / "exp/decode", dirs_exist_ok=True)
    shutil.copy(kaldi_fixture / "exp/tri/final.mdl", tmp_path / "exp")
    return data


def by_sclite(data: Path, graph: Path) -> subprocess.CompletedProcess[str]:
    words = f"--min-lmwt 10 --max-lmwt 10 {data} {graph} {data.parent}/exp/decode"
    command = f". ./path.sh && local/score_sclite.sh {words}"
    return subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not shutil.which("sctk"), reason="needs sctk")
def test_sclite_counts_right_or_fails(by_time: Path, kaldi_fixture: Path) -> None:
    """It is known to score the wrong pairs and end with 0."""
    (rate,) = [float(row[1]) for row in lines(kaldi_fixture / "exp/decode/wer_10") if row[0] == "%WER"]
    graph = kaldi_fixture / "graph"
    rows = stm_rows(by_time)
    for order in (rows, rows[::-1]):
        (by_time / "stm").write_text("".join(order))
        scored = by_sclite(by_time, graph)
        assert scored.returncode == 0, scored.stderr
        assert float(scored.stdout.split()[1]) == pytest.approx(rate, abs=0.05)
    (by_time / "stm").write_text("".join(rows).replace(" A ", " 1 "))  # the ctm has channel A
    assert by_sclite(by_time, graph).returncode == 1
    (by_time / "stm").write_text("".join(row for row in rows if row.startswith("spkB")))
    assert by_sclite(by_time, graph).returncode == 1
    (by_time / "stm").write_text("".join(rows))
    (by_time / "reco2file_and_channel").write_text("spkB spkB A\n")
    assert by_sclite(by_time, graph).returncode == 1
