"""ONNX models of our networks, whole and streaming, float and 8-bit."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
import onnxruntime

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.onnx_graph import build
from hdnn_nnet.export.onnx_session import OnnxModel
from hdnn_nnet.export.quantise import quantise
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.nn.prior import log_prior
from hdnn_nnet.nn.streaming import torch_stream
from tests.support.small_task import DIM, PDFS
from tests.test_nnet3_export import COUNTS, VARIANTS, features, log_posteriors, network


def save(config: NetworkConfig, path: Path, stream: bool, prior: bool = True) -> OnnxModel:
    onnx.save(build(network(config), log_prior(COUNTS) if prior else None, stream), path)
    return OnnxModel(path)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_same_values_as_pytorch(config: NetworkConfig, stream: bool, tmp_path: Path) -> None:
    model = save(config, tmp_path / "model.onnx", stream)
    assert (model.feat_dim, model.num_pdfs, model.is_stream) == (DIM, PDFS, stream)
    assert (model.left_context, model.right_context) == (config.left_context, config.right_context)
    plain = save(config, tmp_path / "plain.onnx", stream, prior=False)
    assert plain.output_name == "logposteriors"
    for frames in (1, 2, 9):
        x = features(frames)
        wanted = log_posteriors(network(config), x)
        np.testing.assert_allclose(model(x), wanted - log_prior(COUNTS), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(np.exp(plain(x)), np.exp(wanted), atol=1e-5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum), chosen=st.sampled_from(VARIANTS))
def test_chunks_give_the_rows_of_the_whole(lengths: list[int], chosen: NetworkConfig, tmp_path: Path) -> None:
    """Exactly, edges included, whatever the chunks are; and no row comes later than it must."""
    whole = save(chosen, tmp_path / "whole.onnx", False)
    stream = save(chosen, tmp_path / "stream.onnx", True).stream()
    x = features(sum(lengths))
    parts, seen = [], 0
    for length in lengths:
        parts.append(stream.accept(x[seen : seen + length]))
        seen += length
        assert sum(map(len, parts)) == max(0, seen - chosen.right_context)
    parts.append(stream.finish())
    ours = torch_stream(network(chosen), log_prior(COUNTS))
    cuts = np.cumsum([0, *lengths])
    rows = [ours.accept(x[a:b]) for a, b in itertools.pairwise(cuts.tolist())]
    np.testing.assert_allclose(np.concatenate([*rows, ours.finish()]), whole(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(parts), whole(x), rtol=1e-6, atol=1e-6)


def test_eight_bits_are_close_and_small(tmp_path: Path) -> None:
    config = NetworkConfig("hdnn", 40, 3927, 128, 10)
    model = build_network(config, seed=1)
    generator = np.random.default_rng(0)
    speech = [generator.standard_normal((50, 40)).astype(np.float32) for _ in range(4)]
    reference = OnnxModelOf(model, tmp_path, speech)
    x = generator.standard_normal((60, 40)).astype(np.float32)
    exact, eight = reference.float(x), reference.eight(x)
    assert (tmp_path / "eight.onnx").stat().st_size < 1_000_000
    assert (tmp_path / "float.onnx").stat().st_size > 2_900_000
    # Not equal, or nothing was quantised; and close.
    assert 1e-6 < np.abs(np.exp(exact) - np.exp(eight)).max() < 0.05
    kinds = [n.op_type for n in onnx.load(tmp_path / "eight.onnx").graph.node]
    assert (kinds.count("Gemm"), kinds.count("MatMul")) == (11, 18)
    # The session really multiplies integers: no product is left in float.
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "eight.onnx"), options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert (kinds.count("QGemm"), kinds.count("MatMulIntegerToFloat")) == (11, 18)
    assert not {"Gemm", "FusedGemm", "MatMul"} & set(kinds)
    weights = [i for i in onnx.load(tmp_path / "eight.onnx").graph.initializer if i.data_type == onnx.TensorProto.INT8]
    assert sum(int(np.prod(i.dims)) for i in weights if len(i.dims) == 2) == 128 * (440 + 9 * 128 + 2 * 128 + 3927)


class OnnxModelOf:
    """A network in both precisions."""

    def __init__(self, model: torch.nn.Module, folder: Path, speech: list[np.ndarray]) -> None:
        onnx.save(build(model, None), folder / "float.onnx")  # type: ignore[arg-type]  # a network of ours
        quantise(folder / "float.onnx", folder / "eight.onnx", speech)
        self.float, self.eight = OnnxModel(folder / "float.onnx"), OnnxModel(folder / "eight.onnx")


def test_eight_bit_streams(tmp_path: Path) -> None:
    config = VARIANTS[0]
    speech = [features(30) * scale for scale in (0.5, 1.0, 2.0)]
    for stream in (False, True):
        save(config, tmp_path / "float.onnx", stream)
        quantise(tmp_path / "float.onnx", tmp_path / f"{stream}.onnx", speech)
    whole, stream_model = OnnxModel(tmp_path / "False.onnx"), OnnxModel(tmp_path / "True.onnx")
    x = features(30)
    stream_ = stream_model.stream()
    rows = np.concatenate([*(stream_.accept(x[i : i + 4]) for i in range(0, 30, 4)), stream_.finish()])
    np.testing.assert_allclose(rows, whole(x), atol=1e-5)


def test_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(HdnnError, match="does not exist"):
        OnnxModel(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no protobuf")
    with pytest.raises(HdnnError, match="damaged"):
        OnnxModel(tmp_path / "bad.onnx")
    model = save(VARIANTS[0], tmp_path / "model.onnx", False)
    with pytest.raises(HdnnError, match=f"takes {DIM} a frame"):
        model(np.zeros((3, DIM + 1), np.float32))
    with pytest.raises(HdnnError, match="whole utterances"):
        model.stream()
    with pytest.raises(HdnnError, match="no utterances to calibrate"):
        quantise(tmp_path / "model.onnx", tmp_path / "eight.onnx", [])
    assert not (tmp_path / "eight.onnx").exists()
    whole = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HdnnError, match="damaged"):
        OnnxModel(tmp_path / "cut.onnx")
