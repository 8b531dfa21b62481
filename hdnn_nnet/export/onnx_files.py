"""The ONNX files of an export: whole utterances and streams, float and 8-bit."""

import logging
from pathlib import Path

import numpy as np
import onnx

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.onnx_graph import build
from hdnn_nnet.export.options import OnnxExport
from hdnn_nnet.export.quantise import quantise
from hdnn_nnet.export.source import Source
from hdnn_nnet.export.vosk_dir import write_config
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.frame_rate import shown
from hdnn_nnet.feats.reader import FeatureReader

log = logging.getLogger(__name__)


def calibration(data_dir: str, source: Source, limit: int) -> list[np.ndarray]:
    """Features of up to `limit` utterances, spread evenly over a data directory."""
    known = FeatureDescription.read(data_dir)
    if known is not None and not known.agrees(source.features):
        raise HdnnError(f"{data_dir} has features of {known.line()}, the model takes {source.features.line()}")
    reader = FeatureReader(data_dir)
    if not reader.rate.same:
        raise HdnnError(
            f"{data_dir} has {shown(reader.rate.factor)}, the model takes frames of 10 ms; give its training data"
        )
    if reader.dim != source.model.feat_dim:
        raise HdnnError(f"{data_dir} has {reader.dim} features a frame, the model takes {source.model.feat_dim}")
    step = max(1, len(reader) // limit)
    return [reader[utterance] for utterance in reader.utts[::step][:limit]]


def write_onnx_files(out: Path, source: Source, options: OnnxExport) -> list[str]:
    """Write the files into `out`; gives their paths there."""
    utterances = calibration(options.calibration_data, source, options.calibration_utterances)
    files = write_config(out, source.features)
    prior = source.log_prior if options.subtract_prior else None
    for form in ("model", "stream"):
        path = out / f"onnx/{form}.onnx"
        with atomic_path(path) as temporary:
            onnx.save(build(source.model, prior, form == "stream"), temporary)
        quantise(path, out / f"onnx/{form}.int8.onnx", utterances, options.reduce_range)
        files += [f"onnx/{form}.onnx", f"onnx/{form}.int8.onnx"]
    log.info("%s, 8-bit scales from %d utterances", source.model.name, len(utterances))
    return files
