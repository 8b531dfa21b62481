"""nnet3 models of our networks: against an interpreter of the format, and against Kaldi's own tools."""

import subprocess
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.nnet3 import UNSEEN_LOG_POSTERIOR, check_acoustic_model, convert, write_acoustic_model
from hdnn_nnet.nn.config import ACTIVATIONS, GATES, NetworkConfig
from hdnn_nnet.nn.networks import AcousticModel, build_network
from hdnn_nnet.nn.prior import log_prior
from tests.support import nnet3_reference
from tests.support.small_task import DIM, PDFS, transition_model

COUNTS = np.array([40.0, 10.0, 25.0, 5.0, 20.0])
VARIANTS: list[NetworkConfig] = [
    NetworkConfig("hdnn", DIM, PDFS, 7, 4, 2, 1, activation, gates, tied)
    for activation in ACTIVATIONS
    for gates in GATES
    for tied in (True, False)
]
VARIANTS += [
    NetworkConfig("hdnn", DIM, PDFS, 7, 1),
    NetworkConfig("hdnn", DIM, PDFS, 7, 2, 0, 0),
    NetworkConfig("dnn", DIM, PDFS, 7, 3, 1, 3),
    NetworkConfig("dnn", DIM, PDFS, 7, 1, 0, 2, "relu"),
]


def network(config: NetworkConfig) -> AcousticModel:
    model = build_network(config, seed=4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # biases too
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    model.set_normalisation(torch.randn(DIM, generator=generator) * 3, torch.rand(DIM, generator=generator) + 0.5)
    return model.eval()


def features(frames: int = 9) -> np.ndarray:
    return (np.random.default_rng(8).standard_normal((frames, DIM)) * 2).astype(np.float32)


def log_posteriors(model: AcousticModel, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return torch.log_softmax(model.double()(torch.from_numpy(x).double()), 1).numpy()


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_text_form_computes_our_posteriors(config: NetworkConfig, tmp_path: Path) -> None:
    model = network(config)
    nnet = convert(model, log_prior(COUNTS))
    write_acoustic_model(nnet, transition_model(), tmp_path / "final.mdl", binary=False)
    read = nnet3_reference.read(tmp_path / "final.mdl")
    assert (read.left, read.right) == (config.left_context, config.right_context)
    np.testing.assert_allclose(read.priors, COUNTS / COUNTS.sum(), rtol=1e-6)
    for frames in (1, 2, 9):
        x = features(frames)
        np.testing.assert_allclose(nnet3_reference.compute(read, x), log_posteriors(model, x), rtol=1e-5, atol=2e-5)


def test_tied_gates_are_stored_once(tmp_path: Path) -> None:
    config = NetworkConfig("hdnn", DIM, PDFS, 7, 6)
    tied = convert(network(config), log_prior(COUNTS))
    names = [c.name for c in tied.components if c.type == "AffineComponent"]
    assert [n for n in names if not n.startswith("affine")] == ["transform", "carry", "softmax"]
    assert sum("component=transform " in line for line in tied.lines) == 5


def test_pdfs_that_training_never_saw_are_barred(tmp_path: Path) -> None:
    model = network(NetworkConfig("dnn", DIM, PDFS, 7, 2))
    prior = log_prior(np.array([50.0, 0.0, 25.0, 5.0, 20.0]))
    write_acoustic_model(convert(model, prior), transition_model(), tmp_path / "final.mdl", binary=False)
    read = nnet3_reference.read(tmp_path / "final.mdl")
    assert np.isfinite(np.log(read.priors)).all()
    rows, wanted = nnet3_reference.compute(read, features()), log_posteriors(model, features())
    assert (rows[:, 1] < UNSEEN_LOG_POSTERIOR / 2).all()
    seen = [0, 2, 3, 4]
    np.testing.assert_allclose(rows[:, seen], wanted[:, seen], rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(np.log(read.priors[seen]), prior[seen], atol=1e-5)


def test_numbers_of_pdfs_must_agree(tmp_path: Path) -> None:
    model = network(NetworkConfig("dnn", DIM, 7, 4, 2))
    with pytest.raises(HdnnError, match="5 priors for a network of 7"):
        convert(model, log_prior(COUNTS))
    nnet = convert(model, log_prior(np.ones(7)))
    with pytest.raises(HdnnError, match="7 pdfs, the transition model 5"):
        write_acoustic_model(nnet, transition_model(), tmp_path / "final.mdl")
    assert not (tmp_path / "final.mdl").exists()


@pytest.mark.parametrize("binary", [True, False])
def test_a_damaged_file_is_refused(binary: bool, tmp_path: Path) -> None:
    path = tmp_path / "final.mdl"
    write_acoustic_model(convert(network(VARIANTS[0]), log_prior(COUNTS)), transition_model(), path, binary)
    assert check_acoustic_model(path).num_pdfs == PDFS
    whole = path.read_bytes()
    for size in (len(whole) - 8, len(whole) // 2, 40):
        path.write_bytes(whole[:size])
        with pytest.raises(HdnnError, match=r"final\.mdl"):
            check_acoustic_model(path)
    transition_model().write(path, binary)
    with pytest.raises(HdnnError, match=r"no nnet3 network|token expected"):
        check_acoustic_model(path)


def test_statistics_of_activations_have_all_tokens_of_kaldi(tmp_path: Path) -> None:
    """In the order, and with the types, of NonlinearComponent::Write (nnet3/nnet-component-itf.cc)."""
    write_acoustic_model(convert(network(VARIANTS[0]), log_prior(COUNTS)), transition_model(), tmp_path / "x.mdl")
    data = (tmp_path / "x.mdl").read_bytes()
    zero, empty = b"\x08" + bytes(8), b"FV \x04" + bytes(4)
    wanted = b"<ValueAvg> " + empty + b"<DerivAvg> " + empty + b"<Count> " + zero + b"<OderivRms> " + empty
    wanted += b"<OderivCount> " + zero + b"<NumDimsSelfRepaired> " + zero + b"<NumDimsProcessed> " + zero
    assert data.count(wanted + b"</SigmoidComponent> ") >= 1


def nnet3_program(kaldi_root: Path, name: str) -> Path:
    program = kaldi_root / "src/nnet3bin" / name
    if not program.exists():
        pytest.skip(f"{name} is not built")
    return program


@pytest.mark.kaldi
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_kaldi_computes_our_posteriors(config: NetworkConfig, binary: bool, kaldi_root: Path, tmp_path: Path) -> None:
    program = nnet3_program(kaldi_root, "nnet3-compute")
    model = network(config)
    write_acoustic_model(convert(model, log_prior(COUNTS)), transition_model(), tmp_path / "final.mdl", binary)
    x = {"long": features(70), "short": features(1)}
    kaldiio.save_ark(str(tmp_path / "feats.ark"), x)
    command: list[str | Path] = [
        program,
        "--use-gpu=no",
        tmp_path / "final.mdl",
        f"ark:{tmp_path}/feats.ark",
        f"ark:{tmp_path}/out.ark",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for key, rows in kaldiio.load_ark(str(tmp_path / "out.ark")):
        np.testing.assert_allclose(rows, log_posteriors(model, x[key]), atol=1e-4)


@pytest.mark.kaldi
@pytest.mark.parametrize("binary", [True, False])
def test_kaldi_writes_what_we_wrote(binary: bool, kaldi_root: Path, tmp_path: Path) -> None:
    """A copy by nnet3-am-copy, in the text form, is the same model."""
    program = nnet3_program(kaldi_root, "nnet3-am-copy")
    nnet = convert(network(VARIANTS[0]), log_prior(COUNTS))
    write_acoustic_model(nnet, transition_model(), tmp_path / "ours.mdl", binary)
    copy: list[str | Path] = [program, "--binary=false", tmp_path / "ours.mdl", tmp_path / "theirs.mdl"]
    subprocess.run(copy, check=True, capture_output=True)
    write_acoustic_model(nnet, transition_model(), tmp_path / "ours.txt.mdl", binary=False)
    ours, theirs = (nnet3_reference.read(tmp_path / name) for name in ("ours.txt.mdl", "theirs.mdl"))
    assert sorted(map(str, theirs.lines)) == sorted(map(str, ours.lines))
    assert theirs.components.keys() == ours.components.keys()
    np.testing.assert_allclose(theirs.priors, ours.priors, rtol=1e-6)
    x = features()
    np.testing.assert_allclose(nnet3_reference.compute(theirs, x), nnet3_reference.compute(ours, x), atol=1e-5)
