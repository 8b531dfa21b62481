"""Kaldi's nnet1 networks read natively: against Kaldi's own outputs and against plain numpy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.basic_io import KaldiWriter
from hdnn_nnet.kaldi.byte_stream import ByteStream
from hdnn_nnet.kaldi.matrix import read_matrix
from hdnn_nnet.kaldi.nnet1 import read_nnet1
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.nn.model_dir import load_network
from hdnn_nnet.nn.nnet1 import Nnet1
from hdnn_nnet.nn.prior import read_log_prior


@pytest.mark.parametrize("name", ["final.nnet", "final.nnet.txt"])
def test_kaldis_log_likelihoods(kaldi_fixture: Path, tmp_path: Path, name: str) -> None:
    source = kaldi_fixture / "exp" / "nnet"
    (tmp_path / "final.nnet").write_bytes((source / name).read_bytes())
    (tmp_path / "final.feature_transform").write_bytes((source / "final.feature_transform").read_bytes())
    network = load_network(tmp_path)
    prior = read_log_prior(source / "class_frame_counts", network.num_pdfs)
    for part in ("train", "test"):
        features = FeatureReader(
            kaldi_fixture / "data" / part, (source / "cmvn_opts").read_text().strip(), root=kaldi_fixture
        )
        reference = dict(read_matrices(f"ark:{source}/loglikes_{part}.ark"))
        assert len(reference) == len(features)
        for utt, wanted in reference.items():
            with torch.no_grad():
                ours = network(torch.from_numpy(features[utt])).numpy() - prior
            assert np.abs(ours - wanted).max() < 1e-5


def test_the_forward_program_takes_nnet1_directories(
    kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kaldi_fixture)
    out = tmp_path / "post.ark"
    assert call("forward", ["--output=posteriors", "exp/nnet", "data/test", f"ark:{out}"]) == 0
    wanted = dict(read_matrices("ark:exp/nnet/posteriors_test.ark"))
    ours = dict(read_matrices(out))
    assert list(ours) == list(wanted)
    for utt in wanted:
        assert np.abs(ours[utt] - wanted[utt]).max() < 1e-6


def write_network(path: Path, binary: bool, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """A network with every supported component: shift, splice of non-adjacent frames, copy, affine, linear, activations."""
    arrays = {
        "shift": generator.standard_normal(3),
        "offsets": np.array([-2, 0, 3]),
        "columns": generator.permutation(9) + 1,
        "scale": generator.standard_normal(9),
        "w1": generator.standard_normal((5, 9)),
        "b1": generator.standard_normal(5),
        "w2": generator.standard_normal((4, 5)),
        "positive": generator.standard_normal(4),
        "negative": generator.standard_normal(4),
        "w3": generator.standard_normal((6, 4)),
        "b3": generator.standard_normal(6),
    }
    layers = [
        ("AddShift", 3, 3, ["shift"]),
        ("Splice", 9, 3, ["offsets"]),
        ("Copy", 9, 9, ["columns"]),
        ("Rescale", 9, 9, ["scale"]),
        ("AffineTransform", 5, 9, ["w1", "b1"]),
        ("Tanh", 5, 5, []),
        ("Dropout", 5, 5, []),
        ("LinearTransform", 4, 5, ["w2"]),
        ("ParametricRelu", 4, 4, ["positive", "negative"]),
        ("AffineTransform", 6, 4, ["w3", "b3"]),
        ("Softmax", 6, 6, []),
    ]
    writer = KaldiWriter(binary)
    writer.token("<Nnet>")
    for kind, outputs, inputs, names in layers:
        writer.token(f"<{kind}>")
        writer.int32(outputs)
        writer.int32(inputs)
        if kind in ("AffineTransform", "LinearTransform", "AddShift", "Rescale"):
            writer.token("<LearnRateCoef>")
            writer.float(1.0)
        if kind == "Dropout":
            writer.token("<DropoutRate>")
            writer.float(0.1)
        for name in names:
            if name in ("offsets", "columns"):
                writer.int32_vector(arrays[name])
            elif arrays[name].ndim == 2:
                writer.matrix(arrays[name].astype(np.float32))
            else:
                writer.vector(arrays[name].astype(np.float32))
        writer.token("<!EndOfComponent>")
    writer.token("</Nnet>")
    writer.save(path)
    return arrays


@pytest.mark.parametrize("binary", [True, False])
def test_every_component_against_numpy(tmp_path: Path, binary: bool) -> None:
    generator = np.random.default_rng(0)
    a = write_network(tmp_path / "final.nnet", binary, generator)
    network = load_network(tmp_path)
    assert isinstance(network, Nnet1)
    assert (network.feat_dim, network.num_pdfs, network.left_context, network.right_context) == (3, 6, 2, 3)
    x = generator.standard_normal((7, 3)).astype(np.float32)
    shifted = x + a["shift"]
    frames = np.clip(np.arange(7)[:, None] + a["offsets"], 0, 6)
    h = shifted[frames].reshape(7, 9)[:, a["columns"] - 1] * a["scale"]
    h = np.tanh(h @ a["w1"].T + a["b1"]) @ a["w2"].T
    h = np.where(h > 0, a["positive"], a["negative"]) * h
    wanted = h @ a["w3"].T + a["b3"]
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.from_numpy(x)).numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_unknown_component(tmp_path: Path) -> None:
    (tmp_path / "final.nnet").write_text("<Nnet>\n<LstmProjected> 4 4\n</Nnet>\n")
    with pytest.raises(HdnnError, match=r"final\.nnet: component <LstmProjected> is not supported.*nnet-forward"):
        load_network(tmp_path)


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "final.nnet"
    write_network(path, True, np.random.default_rng(0))
    whole = path.read_bytes()
    for size in range(3, len(whole) - 1, 37):
        path.write_bytes(whole[:size])
        with pytest.raises(HdnnError, match=r"final\.nnet"):
            read_nnet1(path)


def test_dimensions_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "final.nnet").write_text("<Nnet>\n<Sigmoid> 4 4\n<Tanh> 5 5\n</Nnet>\n")
    with pytest.raises(HdnnError, match="Tanh takes 5 inputs, Sigmoid before it gives 4"):
        load_network(tmp_path)


def test_not_a_number(tmp_path: Path) -> None:
    (tmp_path / "final.nnet").write_text("<Nnet>\n<AffineTransform> 1 2\n [\n 1 nan ]\n [ 1 ]\n</Nnet>\n")
    with pytest.raises(HdnnError, match="weight holds NaN"):
        load_network(tmp_path)


def test_transformed_features(kaldi_fixture: Path) -> None:
    """The feature transform alone against Kaldi's output of it."""
    import gzip

    folder = kaldi_fixture / "exp" / "nnet"
    components = read_nnet1(folder / "final.feature_transform")
    network = Nnet1(components, "transform").eval()
    ((utt, features),) = read_matrices(f"ark:{folder}/feats_cmvn_one.ark")
    data = gzip.decompress((folder / "feats_transformed_one.ark.gz").read_bytes())
    wanted = read_matrix(ByteStream.of(data[len(utt) + 1 :], "reference"))
    assert np.abs(network(torch.from_numpy(features)).numpy() - wanted).max() < 1e-5
