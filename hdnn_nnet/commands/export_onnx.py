"""Export a model to ONNX: whole utterances and streams, 32-bit float, and 8-bit integers calibrated on training features."""

from hdnn_nnet.export.options import OnnxExport

Options = OnnxExport
EXAMPLE = "hdnn export onnx exp/hdnn_online data/train exp/hdnn_online/export"
WRITES = "out_dir"


def main(options: OnnxExport) -> None:
    from pathlib import Path

    from hdnn_nnet.export.onnx_files import write_onnx_files
    from hdnn_nnet.export.source import open_source
    from hdnn_nnet.runtime.trial import finish

    out = Path(options.out_dir)
    source = open_source(options.model_dir, options.source)
    files = write_onnx_files(out, source, options)
    decodable = options.subtract_prior and (out / "am/final.mdl").is_file()
    finish(out, source, files, ["onnx", "onnx-int8"] if decodable else [], options.trial)
