"""Transition models and topologies against files and numbers of real Kaldi."""

import contextlib
import gzip
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.topology import NO_PDF, HmmState, HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel

MODELS = ("final.mdl", "final.mdl.txt", "trans.mdl", "trans.mdl.txt")


@pytest.mark.parametrize("name", MODELS)
def test_show_transitions(kaldi_fixture: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line of show-transitions, from a GMM or a bare transition model, in binary or text."""
    model = TransitionModel.read(kaldi_fixture / "exp/tri" / name)
    with gzip.open(kaldi_fixture / "exp/tri/transitions.txt.gz", "rt") as handle:
        expected = handle.read()
    call("show-transitions", [f"{kaldi_fixture}/lang/phones.txt", f"{kaldi_fixture}/exp/tri/{name}"])
    shown = capsys.readouterr().out
    if name.endswith(".txt"):  # the text form has lost the last digits of the probabilities
        number = re.compile(r"p = (\S+)")
        probabilities = [[float(p) for p in number.findall(text)] for text in (shown, expected)]
        np.testing.assert_allclose(probabilities[0], probabilities[1], rtol=1e-5)
        shown, expected = number.sub("p", shown), number.sub("p", expected)
    assert shown == expected
    assert (model.num_pdfs, model.num_transition_ids, model.num_transition_states) == (40, 756, 338)
    assert model.tid_to_pdf[0] == model.tid_to_phone[0] == -1
    assert model.tid_to_pdf.shape == model.tid_to_phone.shape == model.is_self_loop.shape == (757,)
    assert model.tid_to_pdf.dtype == model.tid_to_phone.dtype == np.int32


def test_show_transitions_wants_the_model_s_phones(kaldi_fixture: Path, tmp_path: Path) -> None:
    (tmp_path / "phones.txt").write_text("<eps> 0\nSIL 1\n")
    with pytest.raises(HdnnError, match=r"phones\.txt has no phone 2 of .*final\.mdl"):
        call("show-transitions", [f"{tmp_path}/phones.txt", f"{kaldi_fixture}/exp/tri/final.mdl"])


@pytest.mark.parametrize(("name", "binary"), [("trans.mdl", True), ("trans.mdl.txt", False)])
def test_written_as_kaldi_writes(kaldi_fixture: Path, tmp_path: Path, name: str, binary: bool) -> None:
    TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl").write(tmp_path / name, binary)
    assert (tmp_path / name).read_bytes() == (kaldi_fixture / "exp/tri" / name).read_bytes()


def test_topo_file(kaldi_fixture: Path) -> None:
    """The topology inside the model is that of the lang directory."""
    topology = HmmTopology.read(kaldi_fixture / "lang/topo")
    assert topology == TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl").topology
    assert topology.num_pdf_classes(1) == 5
    assert topology.num_pdf_classes(11) == 3


@pytest.mark.parametrize("keep", [0, 1, 2, 30, 300, 5000, 9000])
def test_truncated(kaldi_fixture: Path, tmp_path: Path, keep: int) -> None:
    bad = tmp_path / "final.mdl"
    bad.write_bytes((kaldi_fixture / "exp/tri/trans.mdl").read_bytes()[:keep])
    with pytest.raises(HdnnError, match=r"final\.mdl"):
        TransitionModel.read(bad)


def test_wrong_kind_of_file(kaldi_fixture: Path) -> None:
    with pytest.raises(HdnnError, match="<TransitionModel> expected"):
        TransitionModel.read(kaldi_fixture / "exp/tri/tree")
    with pytest.raises(HdnnError, match="cannot read"):
        TransitionModel.read("does/not/exist.mdl")


@st.composite
def models(draw) -> TransitionModel:
    """Random topologies, with one pdf-class a state or two (as chain models have), and random tuples over them."""
    two_classes = draw(st.booleans())
    entries = []
    for _ in range(draw(st.integers(1, 3))):
        states = draw(st.integers(1, 4))
        entry = []
        for number in range(states):
            forward = draw(st.integers(0, 3))
            loop = draw(st.integers(0, 3)) if two_classes else forward
            targets = draw(st.lists(st.integers(0, states), min_size=1, max_size=3, unique=True))
            probabilities = [draw(st.sampled_from([0.25, 0.5, 0.75, 1.0])) for _ in targets]
            entry.append(HmmState(forward, loop, tuple(zip(sorted(targets), probabilities, strict=True))))
            assert number < states
        entries.append([*entry, HmmState(NO_PDF, NO_PDF, ())])
    phones = draw(st.lists(st.integers(1, 30), min_size=len(entries), max_size=12, unique=True))
    topology = HmmTopology(entries, {phone: index % len(entries) for index, phone in enumerate(phones)})
    rows = []
    for phone in topology.phones:
        for state in range(len(topology.states(phone)) - 1):
            forward = draw(st.integers(0, 20))
            loop = forward if topology.is_hmm else draw(st.integers(0, 20))
            rows.append((phone, state, forward, loop))
    return TransitionModel(topology, np.array(rows))


@settings(max_examples=40, deadline=None)
@given(model=models(), binary=st.booleans())
def test_round_trip(model: TransitionModel, binary: bool) -> None:
    """Triples and tuples survive writing and reading, and another object may follow."""
    writer = KaldiWriter(binary)
    model.append_to(writer)
    writer.token("<NEXT>")
    reader = KaldiReader(writer.getvalue(), "model")
    again = TransitionModel.parse(reader)
    assert reader.token() == "<NEXT>"
    assert again.topology == model.topology
    np.testing.assert_array_equal(again.tuples, model.tuples)
    np.testing.assert_allclose(again.log_probs, model.log_probs, rtol=1e-6)
    np.testing.assert_array_equal(again.tid_to_pdf, model.tid_to_pdf)
    # By the definition, transition by transition.
    tid = 0
    for phone, state, forward, loop in model.tuples.tolist():
        for target, probability in model.topology.states(phone)[state].transitions:
            tid += 1
            assert again.tid_to_phone[tid] == phone
            assert again.tid_to_hmm_state[tid] == state
            assert again.is_self_loop[tid] == (target == state)
            assert again.is_final[tid] == (target == len(model.topology.states(phone)) - 1)
            assert again.tid_to_pdf[tid] == (loop if target == state else forward)
            assert np.isclose(np.exp(again.log_probs[tid]), probability)
    assert tid == again.num_transition_ids


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_crash(data: st.DataObject) -> None:
    """Flipped bytes give a model or an HdnnError, nothing else."""
    writer = KaldiWriter(binary=True)
    data.draw(models()).append_to(writer)
    damaged = bytearray(writer.getvalue())
    for _ in range(3):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(HdnnError):
        TransitionModel.parse(KaldiReader(bytes(damaged), "damaged"))


@pytest.mark.kaldi
def test_kaldi_reads_ours(kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path) -> None:
    model = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl")
    names = SymbolTable.read(kaldi_fixture / "lang/phones.txt").names()
    for binary in (True, False):
        model.write(tmp_path / "trans.mdl", binary)
        command = [kaldi_root / "src/bin/show-transitions", kaldi_fixture / "lang/phones.txt", tmp_path / "trans.mdl"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert shown == TransitionModel.read(tmp_path / "trans.mdl").describe(names)
