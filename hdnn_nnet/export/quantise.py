"""8-bit integer versions of exported ONNX models, by ONNX Runtime's static quantisation."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError


@contextmanager
def _quiet() -> Iterator[None]:
    """The package advises a preparation that our graphs do not need, as a warning of the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def quantise(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    utterances: Iterable[np.ndarray],
    reduce_range: bool = False,
) -> None:
    """Write `source` with 8-bit weights and 8-bit inputs of every matrix product; sums are 32-bit, all else stays float.

    Weights have a scale for each output; the scale of an input comes from its extremes over `utterances`.

    Args:
        source: a model of the form `whole` or `stream`.
        utterances: (T, feat_dim) each, of the training data.
        reduce_range: 7-bit weights, for x86 processors older than VNNI, whose 16-bit sums may overflow.

    Raises:
        HdnnError: no utterances.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    properties = {p.key: p.value for p in onnx.load(source).metadata_props}
    context = int(properties["left_context"]) + int(properties["right_context"])

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the package is untyped
        def __init__(self) -> None:
            self.count = 0
            self.feeds = self._feeds()

        def _feeds(self) -> Iterator[dict[str, Any]]:
            for features in utterances:
                self.count += 1
                feed = {"features": np.ascontiguousarray(features, np.float32)}
                if properties["stream"] == "true":
                    feed["context"] = np.repeat(feed["features"][:1], context, axis=0)
                yield feed

        def get_next(self) -> dict[str, Any] | None:
            return next(self.feeds, None)

    reader = Reader()
    products = ["Gemm", "MatMul"]
    with atomic_path(target) as temporary, _quiet():
        try:
            quantize_static(
                Path(source),
                temporary,
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=products,
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"OpTypesToExcludeOutputQuantization": products},
            )
        except ValueError as error:
            if reader.count:
                raise
            raise HdnnError(f"no utterances to calibrate {target} on; give a data directory with features") from error
