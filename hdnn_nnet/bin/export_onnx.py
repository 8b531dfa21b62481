"""Export a model to ONNX: whole utterances and streams, 32-bit float, and 8-bit integers calibrated on training features."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.finish import add_trial_options, finish
from hdnn_nnet.export.onnx_graph import build
from hdnn_nnet.export.quantise import quantise
from hdnn_nnet.export.source import Source, add_source_options, open_source
from hdnn_nnet.export.vosk_dir import write_config
from hdnn_nnet.feats.reader import FeatureReader

log = logging.getLogger(__name__)
PROGRAM = "hdnn-export-onnx"


def calibration(data_dir: str, source: Source, limit: int) -> list[np.ndarray]:
    """Features of up to `limit` utterances, spread evenly over a data directory."""
    reader = FeatureReader(data_dir)
    if reader.dim != source.model.feat_dim:
        raise HdnnError(f"{data_dir} has {reader.dim} features a frame, the model takes {source.model.feat_dim}")
    step = max(1, len(reader) // limit)
    return [reader[utterance] for utterance in reader.utts[::step][:limit]]


def main(argv: Sequence[str] | None = None) -> int:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument("model_dir", help="directory with final.safetensors, model.json, final.mdl and counts")
    options.add_argument("calibration_data", help="data directory with training features, for the 8-bit models")
    options.add_argument("out_dir", help="directory to write to; that of export_nnet3.sh, so that speech can be tried")
    add_source_options(options)
    options.add_argument("--calibration-utterances", type=int, default=50, help="utterances that set the 8-bit scales")
    options.add_bool("--reduce-range", False, "7-bit weights, for x86 processors without VNNI")
    options.add_bool("--subtract-prior", True, "write log-likelihoods; false: log-posteriors")
    add_trial_options(options)
    args = options.parse_args(argv)
    if args.calibration_utterances < 1:
        raise HdnnError("--calibration-utterances must be at least 1")
    source = open_source(args)
    utterances = calibration(args.calibration_data, source, args.calibration_utterances)
    out = Path(args.out_dir)
    files = write_config(out, source.features)
    for form in ("model", "stream"):
        path = out / f"onnx/{form}.onnx"
        with atomic_path(path) as temporary:
            onnx.save(
                build(source.model, source.log_prior if args.subtract_prior else None, form == "stream"), temporary
            )
        quantise(path, out / f"onnx/{form}.int8.onnx", utterances, args.reduce_range)
        files += [f"onnx/{form}.onnx", f"onnx/{form}.int8.onnx"]
    log.info("%s, 8-bit scales from %d utterances", source.model.name, len(utterances))
    decodable = args.subtract_prior and (out / "am/final.mdl").is_file()
    finish(out, source, files, ["onnx", "onnx-int8"] if decodable else [], args.check_data, args.check_utterances)
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
