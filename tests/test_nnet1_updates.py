"""An imported network learns as Kaldi's nnet1 does: factors on learning rates, normalisation of windows, momentum."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
from hdnn_nnet.kaldi.nnet1 import read_nnet1
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.nn.import_nnet1 import folded, import_nnet1
from hdnn_nnet.nn.model_dir import load_model, save_model
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.train.sgd import Sgd

FRAMES, RATE = 70, 0.008


def imported(folder: Path, network: Path) -> AcousticModel:
    return import_nnet1(read_nnet1(folder / "final.feature_transform") + read_nnet1(network), str(network))


def test_factors_and_windows_are_kept_on_disk_and_folded_for_exports(kaldi_fixture: Path, tmp_path: Path) -> None:
    model = imported(kaldi_fixture / "exp/nnet", kaldi_fixture / "exp/nnet/final.nnet")
    assert model.learn_rate_coefs == {"output.bias": pytest.approx(0.1)}
    assert model.config.window_normalisation
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert (again.learn_rate_coefs, again.config) == (model.learn_rate_coefs, model.config)
    features = torch.randn(30, model.feat_dim, generator=torch.Generator().manual_seed(0)) * 3 + 10
    with torch.no_grad():
        torch.testing.assert_close(again(features), model(features), rtol=0, atol=0)
        plain = folded(model)
        assert not plain.config.window_normalisation
        torch.testing.assert_close(plain(features), model(features), rtol=1e-4, atol=1e-4)
        model.set_normalisation(torch.full((model.feat_dim,), 2.0), torch.full((model.feat_dim,), 4.0))
        torch.testing.assert_close(folded(model)(features), model(features), rtol=1e-4, atol=1e-4)
    assert folded(plain) is plain


def test_factors_of_another_model_are_refused(kaldi_fixture: Path, tmp_path: Path) -> None:
    model = imported(kaldi_fixture / "exp/nnet", kaldi_fixture / "exp/nnet/final.nnet")
    for coefs in ({"gates": 0.1}, {"output.bias": -1.0}, {"output.bias": float("nan")}):
        model.learn_rate_coefs = coefs
        save_model(model, tmp_path)
        with pytest.raises(Exception, match=r"model\.json: learn_rate_coefs"):
            load_model(tmp_path)


@pytest.mark.kaldi
@pytest.mark.parametrize(("steps", "momentum"), [(1, 0.0), (3, 0.9)])
@pytest.mark.parametrize("coefs", [{}, {"LearnRateCoef": 0.5, "BiasLearnRateCoef": 2.5}])
def test_updates_are_those_of_nnet_train_frmshuff(
    kaldi_fixture: Path, kaldi_program, tmp_path: Path, steps: int, momentum: float, coefs: dict[str, float]
) -> None:
    folder, copy = kaldi_fixture / "exp/nnet", kaldi_program("nnetbin/nnet-copy")
    text = subprocess.run(
        [copy, "--binary=false", folder / "final.nnet", "-"], capture_output=True, text=True, check=True
    ).stdout
    start = tmp_path / "start.nnet"
    for token, value in coefs.items():
        text = text.replace(f"<{token}> 1 ", f"<{token}> {value} ")
    assert all(f"<{token}> {value} " in text for token, value in coefs.items())
    start.write_text(text)
    ((utterance, features),) = read_matrices(f"ark:{folder}/feats_cmvn_one.ark")
    features = features[: FRAMES * steps].copy()
    assert len(features) == FRAMES * steps
    labels = np.random.default_rng(1).integers(0, 20, len(features)).astype(np.int32)
    with PosteriorWriter(f"ark:{tmp_path}/post.ark") as writer:
        posteriors = SparsePosteriors(np.arange(len(labels) + 1), labels, np.ones(len(labels), np.float32))
        writer.write_posteriors(utterance, posteriors)
    train = [kaldi_program("nnetbin/nnet-train-frmshuff"), f"--learn-rate={RATE}", f"--momentum={momentum}"]
    train += [
        f"--minibatch-size={FRAMES}",
        "--randomize=false",
        f"--feature-transform={folder}/final.feature_transform",
    ]
    with MatrixWriter(f"ark:{tmp_path}/feats.ark") as table:
        table.write_matrix(utterance, features)
    part = f"ark:{tmp_path}/feats.ark"
    subprocess.run(
        [*train, part, f"ark:{tmp_path}/post.ark", start, tmp_path / "end.nnet"], capture_output=True, check=True
    )
    model, wanted = imported(folder, start), imported(folder, tmp_path / "end.nnet").state_dict()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = list(model.parameters())
    sgd = Sgd(parameters, scale_rate=False, rates=model.rates_of(parameters))
    windows = model.windows(torch.from_numpy(features))
    for step in range(steps):
        rows = slice(step * FRAMES, (step + 1) * FRAMES)
        targets = torch.from_numpy(labels[rows]).long()
        torch.nn.functional.cross_entropy(model.logits(windows[rows]), targets, reduction="sum").backward()
        sgd.step(RATE, momentum)
    for name, _ in model.named_parameters():
        moved = wanted[name] - before[name]
        assert (model.state_dict()[name] - before[name] - moved).norm() < 1e-3 * moved.norm(), name
