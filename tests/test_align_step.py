"""Forced alignment by networks: the step against the aligner on Kaldi's log-likelihoods, and what it refuses."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet import progress
from hdnn_nnet.align.aligner import Aligner, AlignOptions, GraphCompiler
from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import check_phones
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.lang.transcripts import Transcripts
from tests.support import fixture_recipe
from tests.support.small_task import PDFS, transition_model


@pytest.fixture(scope="module")
def recipe(kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture_recipe.make(kaldi_fixture, tmp_path_factory.mktemp("align"))


def run_step(recipe: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return fixture_recipe.step(recipe, "align.sh", *words)


def alignments_of(recipe: Path, log_likelihoods: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Best paths by the aligner, which test_gmm.py compares with Kaldi's."""
    model = TransitionModel.read(recipe / "exp/nnet1/final.mdl")
    tree = ContextDependency.read(recipe / "exp/nnet1/tree")
    compiler, transcripts = GraphCompiler(model, tree, recipe / "lang"), Transcripts(recipe / "lang")
    aligner = Aligner(model, tree, AlignOptions())
    found = {}
    for utterance, text in read_scp(recipe / "data/train/text").items():
        path = aligner.align(utterance, compiler.compile(transcripts.numbers(text)), log_likelihoods[utterance])
        assert path is not None
        found[utterance] = path
    return found


@pytest.mark.parametrize("command", ["align nnet", "align gmm"])
def test_an_alignment_tells_how_far_it_is(
    command: str, recipe: Path, kaldi_fixture: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(progress, "_LINES_TO", -1)  # a line for every utterance
    source = recipe / "exp/nnet1" if command == "align nnet" else kaldi_fixture / "exp/tri"
    with caplog.at_level("INFO"):
        call(command, [str(recipe / "data/train"), str(recipe / "lang"), str(source), str(tmp_path / "ali")])
    assert [f"utterances: {number} of 10" for number in range(1, 11)] == [m for m in caplog.messages if " of 10" in m]


def test_kaldis_network(recipe: Path, kaldi_fixture: Path) -> None:
    """Kaldi's network through the step, in three jobs, gives the paths that Kaldi's log-likelihoods give."""
    done = run_step(recipe, "--nj", "3", "data/train", "lang", "exp/nnet1", "exp/nnet1_ali")
    assert done.returncode == 0, done.stderr
    assert "10 of 10 utterances aligned, 2556 frames" in done.stdout
    folder = recipe / "exp/nnet1_ali"
    expected = alignments_of(recipe, dict(read_matrices(kaldi_fixture / "exp/nnet/loglikes_train.ark")))
    ours = read_alignments(folder)
    assert list(ours) == list(expected)
    for utterance, path in expected.items():
        np.testing.assert_array_equal(ours[utterance], path)
    # The network learnt from this GMM's alignment.
    model = TransitionModel.read(folder / "final.mdl")
    gmm = read_alignments(kaldi_fixture / "exp/ali")
    same = sum(int((model.tid_to_pdf[gmm[u]] == model.tid_to_pdf[ours[u]]).sum()) for u in gmm)
    assert same > 0.8 * 2556
    assert (folder / "num_jobs").read_text() == "3\n"
    for name, source in {
        "final.mdl": "exp/nnet1",
        "tree": "exp/nnet1",
        "phones.txt": "lang",
        "cmvn_opts": "exp/nnet1",
    }.items():
        assert (folder / name).read_bytes() == (recipe / source / name).read_bytes()


@pytest.mark.kaldi
def test_align_compiled_mapped(recipe: Path, kaldi_fixture: Path, kaldi_root: Path) -> None:
    """compile-train-graphs and align-compiled-mapped find the same paths, to the last frame."""
    compiler, aligner = (
        fixture_recipe.kaldi_program(kaldi_root, name) for name in ("compile-train-graphs", "align-compiled-mapped")
    )
    transcripts = Transcripts(recipe / "lang")
    lines = [
        f"{utterance} {' '.join(map(str, transcripts.numbers(text)))}\n"
        for utterance, text in read_scp(recipe / "data/train/text").items()
    ]
    (recipe / "words.int").write_text("".join(lines))
    tree, model = (str(recipe / "exp/nnet1" / name) for name in ("tree", "final.mdl"))
    lexicon = [f"--read-disambig-syms={recipe}/lang/phones/disambig.int", tree, model, f"{recipe}/lang/L.fst"]
    scales = ["--transition-scale=1.0", "--acoustic-scale=0.1", "--self-loop-scale=0.1", "--beam=10", "--retry-beam=40"]
    commands: list[list[str | Path]] = [
        [compiler, *lexicon, f"ark,t:{recipe}/words.int", f"ark:{recipe}/graphs"],
        [aligner, *scales, model, f"ark:{recipe}/graphs", "scp:exp/nnet/loglikes_train.scp", f"ark:{recipe}/ali.ark"],
    ]
    for command in commands:
        subprocess.run(command, cwd=kaldi_fixture, check=True, capture_output=True)
    kaldis = read_alignments(recipe / "ali.ark")
    ours = alignments_of(recipe, dict(read_matrices(kaldi_fixture / "exp/nnet/loglikes_train.ark")))
    assert len(kaldis) == len(ours) == 10
    for utterance, path in kaldis.items():
        np.testing.assert_array_equal(ours[utterance], path)


def test_our_network_and_failures(recipe: Path) -> None:
    """Utterances without a transcript, or with one that cannot fit, are named; an earlier run leaves nothing behind."""
    call("forward", [str(recipe / "exp/hdnn"), str(recipe / "data/train"), f"ark:{recipe}/loglikes.ark"])
    expected = alignments_of(recipe, dict(read_matrices(recipe / "loglikes.ark")))
    target = recipe / "exp/hdnn_ali"
    target.mkdir()
    for name in ("ali.1.gz", "ali.2.gz", "unaligned.2", "final.mdl"):
        (target / name).write_text("old")
    text = (recipe / "data/train/text").read_text()
    lines = text.splitlines()
    lines[2] += " nine two three" * 100
    (recipe / "data/train/text").write_text("\n".join(lines[:5] + lines[6:]) + "\n")
    try:
        done = run_step(recipe, "--nj", "1", "data/train", "lang", "exp/hdnn", "exp/hdnn_ali")
    finally:
        (recipe / "data/train/text").write_text(text)
    assert done.returncode == 1
    assert "2 of 10 utterances could not be aligned (spkA-train3 spkB-train2" in done.stderr
    assert (target / "unaligned").read_text().split() == ["spkA-train3", "spkB-train2"]
    assert sorted(path.name for path in target.glob("*ali*")) == ["ali.1.gz", "unaligned"]
    assert not (target / "final.mdl").exists()  # so that nobody takes it for finished
    ours = read_alignments(target)
    assert set(ours) == set(expected) - {"spkA-train3", "spkB-train2"}
    for utterance, path in ours.items():
        np.testing.assert_array_equal(path, expected[utterance])


def test_wrong_directories(recipe: Path, tmp_path: Path) -> None:
    done = run_step(recipe, "data/train", "lang", "exp/nnet1")
    assert (done.returncode, "e.g.:" in done.stderr) == (1, True)
    done = run_step(recipe, "data/train", "lang", "data/train", "exp/ali")
    assert done.returncode == 1
    assert "data/train/final.mdl does not exist" in done.stderr
    assert not (recipe / "exp/ali").exists()
    # A model of other phones: disambiguation symbols may differ, nothing else.
    model = tmp_path / "model"
    model.mkdir()
    for path in (recipe / "exp/nnet1").iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    phones = (recipe / "lang/phones.txt").read_text()
    (model / "phones.txt").write_text("".join(line for line in phones.splitlines(True) if line[0] != "#"))
    check_phones(recipe / "lang", model)
    (model / "phones.txt").write_text(phones.replace("sil ", "PAUSE "))
    arguments = [str(recipe / "data/train"), str(recipe / "lang"), str(model), str(tmp_path / "ali")]
    with pytest.raises(HdnnError, match=r"phones\.txt differ in 2 entries, such as PAUSE"):
        call("align nnet", arguments)
    # A network of another tree.
    (model / "phones.txt").unlink()
    transition_model().write(model / "final.mdl")
    with pytest.raises(HdnnError, match=rf"the network has 40 outputs, final\.mdl {PDFS} pdfs"):
        call("align nnet", arguments)
    assert not (tmp_path / "ali").exists()
