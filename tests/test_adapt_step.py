"""steps_py/adapt.sh and decode.sh --adapt-dir: labels from lattices, jobs, odd utterances, and what is refused."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings

from hdnn_nnet.adapt.store import AdaptDir
from hdnn_nnet.cli import call
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.lattice.table import LatticeWriter
from hdnn_nnet.lattice.types import COMPACT_ARC, CompactLattice
from hdnn_nnet.ragged import cumulative
from hdnn_nnet.sequence.confidence import confidence
from hdnn_nnet.sequence.frame_labels import frame_labels
from tests.support import fixture_recipe
from tests.support.decoder import OWN_DECODER
from tests.support.lattice_cases import MODEL, all_paths, timed_lattices
from tests.support.small_task import make

JOBS = 2


@given(timed_lattices())
@settings(max_examples=60, deadline=None)
def test_labels_are_those_of_the_best_path(lattice: CompactLattice) -> None:
    paths = all_paths(lattice)
    assume(paths)
    costs = np.array([p.graph + p.acoustic / 4 for p in paths])
    labels, words = frame_labels(lattice, MODEL, 4.0, "none", "x")
    assert (labels.weights == 1).all()
    best = [p for p, c in zip(paths, costs, strict=True) if c == costs.min()]
    assert (tuple(labels.pdfs.tolist()), words) in {
        (tuple(MODEL.tid_to_pdf[list(p.ids)].tolist()), len(p.words)) for p in best
    }
    posterior = np.exp(-costs - np.logaddexp.reduce(-costs))
    sure, _ = frame_labels(lattice, MODEL, 4.0, "pdf", "x", "torch")
    for frame, (pdf, weight) in enumerate(zip(sure.pdfs, sure.weights, strict=True)):
        share = sum(w for w, p in zip(posterior, paths, strict=True) if MODEL.tid_to_pdf[p.ids[frame]] == pdf)
        assert weight == pytest.approx(share, abs=1e-6)
    # By words: those of confidence(), which has a test of its own, spread over their frames.
    by_word, _ = frame_labels(lattice, MODEL, 4.0, "word", "x", "torch")
    found = confidence(lattice, MODEL, 0.25, engine="torch")
    wanted = found.phone.copy()
    for (begin, end), value in zip(found.word_frames, found.word, strict=True):
        wanted[begin:end] = value
    np.testing.assert_allclose(by_word.weights, wanted, atol=1e-6)


def linear(ids: np.ndarray, word: int) -> CompactLattice:
    """One path: a word (0: none) with all its frames."""
    return CompactLattice(
        start=0,
        offsets=np.array([0, 1, 1]),
        arcs=np.array([(word, 1.0, 2.0, 1)], COMPACT_ARC),
        final=np.array([[np.inf, np.inf], [0, 0]], np.float32),
        string_offsets=cumulative(np.array([len(ids)])),
        strings=ids,
        final_string_offsets=np.zeros(3, np.int64),
        final_strings=np.zeros(0, np.int32),
    )


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data, ali, model, and a decode directory whose lattices are the alignments; s1 has no words, s2-u0 no path."""
    folder = tmp_path_factory.mktemp("adapt")
    data, data_cv, ali = make(folder)
    options = ["--network=hdnn-h8l3", "--splice=1", "--minibatch-size=64", "--learn-rate=0.01", "--device=cpu"]
    model = folder / "model"
    assert call("train ce", [*options, "--max-iters=3", str(data), str(data_cv), str(ali), str(ali), str(model)]) == 0
    decode = model / "decode"
    decode.mkdir()
    (decode / "num_jobs").write_text(f"{JOBS}\n")
    alignments = read_alignments(ali)
    utts = FeatureReader(data).utts
    for job in range(JOBS):
        with LatticeWriter(f"ark:| gzip -c > {decode}/lat.{job + 1}.gz") as writer:
            for utt in utts[job * len(utts) // JOBS : (job + 1) * len(utts) // JOBS]:
                lattice = linear(alignments[utt], 0 if utt.startswith("s1") else 7)
                if utt == "s2-u0":
                    lattice.final[:] = np.inf
                writer.write_lattice(utt, lattice)
    return folder


def step(recipe: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return fixture_recipe.step(recipe, "adapt.sh", *words)


def test_the_number_of_jobs_changes_no_bit(recipe: Path) -> None:
    stores = {}
    for jobs in (1, 3):
        words = ["--nj", str(jobs), "--confidence", "pdf", "--weight-frames", "true", "--rate", "0.002"]
        done = step(recipe, *words, "data_tr", "model", "model/decode", f"adapted{jobs}")
        assert done.returncode == 0, done.stderr
        assert (
            "4 of 5 speakers adapted (CE, gates), 1 not: no usable labels; 5 utterances left out: no labels"
            in done.stdout
        )
        stores[jobs] = AdaptDir(recipe / f"adapted{jobs}")
    one, three = stores[1], stores[3]
    assert one.speakers["s1"]["reason"] == "no usable labels"
    assert one.speakers["s2"]["utterances"] == 3
    files = sorted(path.name for path in one.path.glob("spk-*"))
    assert files == [f"spk-s{i}.safetensors" for i in (0, 2, 3, 4)]
    for name in files:
        assert (one.path / name).read_bytes() == (three.path / name).read_bytes()
    assert sorted(p.name for p in one.path.iterdir()) == ["index.json", "log", *files]
    assert one.content["options"] == three.content["options"]
    assert one.content["options"]["rate"] == 0.002


def test_best_paths_of_these_lattices_are_the_alignments(recipe: Path) -> None:
    """So hypotheses and true transcripts adapt alike, but for what has no words or no path."""
    options = ["--nj", "1", "--guard", "false"]
    for labels, source in (("hard", "model/decode"), ("supervised", "ali")):
        done = step(recipe, *options, "--labels", labels, "data_tr", "model", source, f"by_{labels}")
        assert done.returncode == 0, done.stderr
    for speaker, same in (("s0", True), ("s2", False), ("s3", True), ("s4", True)):
        name = f"spk-{speaker}.safetensors"
        assert ((recipe / "by_hard" / name).read_bytes() == (recipe / "by_supervised" / name).read_bytes()) is same
    assert (recipe / "by_supervised/spk-s1.safetensors").is_file()


def test_what_an_earlier_run_left_is_gone(recipe: Path) -> None:
    folder = recipe / "again"
    folder.mkdir()
    for name in ("index.json", "part.7.json", "spk-s0.safetensors"):
        (folder / name).write_text("old")
    refused = step(recipe, "--nj", "1", "--rate", "0", "data_tr", "model", "model/decode", "again")
    assert (refused.returncode, "--rate must be above 0" in refused.stderr) == (1, True)
    assert (folder / "index.json").read_text() == "old"  # nothing was begun
    failed = step(recipe, "--nj", "1", "--weights", "gone", "data_tr", "model", "model/decode", "again")
    assert failed.returncode == 1
    assert "gone" in failed.stderr
    assert not [*folder.glob("spk-*"), *folder.glob("*.json")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data_tr", "model", "model/decode"], "usage:"),
        (
            ["--labels", "none", "data_tr", "model", "model/decode", "x"],
            "--labels must be one of hard, soft, supervised, not none",
        ),
        (["data_tr", "model", "ali", "x"], "ali/lat.1.gz does not exist"),
        (["data_tr", "ali", "model/decode", "x"], "ali/model.json does not exist"),
        (["--min-confidence", "0.5", "data_tr", "model", "model/decode", "x"], "need --confidence pdf, phone or word"),
    ],
)
def test_wrong_calls(recipe: Path, words: list[str], message: str) -> None:
    done = step(recipe, *words)
    assert done.returncode == 1
    assert message in done.stderr


def test_decoding_with_adapted_gates(kaldi_fixture: Path, tmp_path: Path) -> None:
    """Kaldi's lattices, its graph, our network: every speaker is decoded with their own gates, and those without are counted."""
    fixture_recipe.make(kaldi_fixture, tmp_path)
    data = fixture_recipe.copy_data(kaldi_fixture, tmp_path / "data/test", "test")
    (tmp_path / "local").symlink_to(fixture_recipe.REPOSITORY / "local")
    options = ["--nj", "2", "--rate", "0.05", "--guard", "false"]
    done = step(tmp_path, *options, "data/test", "exp/hdnn", f"{kaldi_fixture}/exp/decode", "exp/adapted")
    assert done.returncode == 0, done.stderr
    store = AdaptDir(tmp_path / "exp/adapted")
    assert all("file" in entry for entry in store.speakers.values())
    # A third speaker, of whom there are no gates.
    lines = (data / "utt2spk").read_text().replace("spkC-test2 spkC", "spkC-test2 spkX")
    (data / "utt2spk").write_text(lines)
    shutil.rmtree(data / "split2")
    cmvn = (data / "cmvn.scp").read_text()
    (data / "cmvn.scp").write_text(
        cmvn + "".join(f"{x.replace('spkC', 'spkX', 1)}\n" for x in cmvn.splitlines() if "spkC " in x)
    )
    words = ["--nj", "2", "--decoder", OWN_DECODER, "--beam", "5.0", "--max-active", "200", "--srcdir", "exp/hdnn"]
    words += ["--skip-scoring", "true", "--adapt-dir", "exp/adapted"]
    decoded = fixture_recipe.step(
        tmp_path, "decode.sh", *words, f"{kaldi_fixture}/graph", "data/test", "exp/adapted/decode"
    )
    assert decoded.returncode == 0, decoded.stderr
    assert "4 of 4 utterances have lattices" in decoded.stdout
    assert "2 speakers adapted, 1 independent" in decoded.stdout
    logs = "".join(p.read_text() for p in (tmp_path / "exp/adapted/decode/log").glob("decode.*.log"))
    assert "speaker spkX uses the independent parameters: not in exp/adapted" in logs
    (tmp_path / "exp/adapted/index.json").unlink()
    refused = fixture_recipe.step(
        tmp_path, "decode.sh", *words, f"{kaldi_fixture}/graph", "data/test", "exp/adapted/decode"
    )
    assert refused.returncode == 1
    assert "index.json does not exist; adapt with steps_py/adapt.sh" in refused.stderr
