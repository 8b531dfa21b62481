"""Table of runtimes and models: bytes, WER, real-time factor on one core and peak memory, from audio to words.

    python3 benchmarks/deploy.py [options] TEST-DATA NAME=MODEL-DIR=EXPORT-DIR ...

MODEL-DIR is a trained model, EXPORT-DIR what steps_py/export_nnet3.sh and export_onnx.sh made of it. Every cell is a process
of its own, which recognises all utterances from their audio, each as a whole; its features are computed by the runtime. The
real-time factor is processor time (without loading) by duration. Memory is the most the process ever had, graph and Python
included.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.options import FeatureKindOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.runtime.load import load_recogniser
from hdnn_nnet.runtime.measure import measure
from hdnn_nnet.runtime.options import RUNTIMES, RecogniserOptions

NAMES = {"torch": "PyTorch", "onnx": "ONNX fp32", "onnx-int8": "ONNX int8", "vosk": "Vosk"}
FILES = {
    "torch": "final.safetensors",
    "onnx": "onnx/stream.onnx",
    "onnx-int8": "onnx/stream.int8.onnx",
    "vosk": "am/final.mdl",
}


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    data: str = argument("data directory with wav.scp, segments and text")
    models: tuple[str, ...] = argument("NAME=MODEL-DIR=EXPORT-DIR", nargs="+")
    utterances: int = option(0, "the first ones; 0: all", at_least=0)
    runtimes: tuple[str, ...] = option(RUNTIMES, "which, with commas", metavar="WORD,...")
    graph_dir: str = option("", "of the trained models; default: the one beside them")
    features: FeatureKindOptions = group(FeatureKindOptions)
    one: str = option("", "used by the program itself", choices=("", *RUNTIMES))

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := set(self.runtimes) - set(RUNTIMES):
            raise HdnnError(f"--runtimes {min(unknown)}: known are {', '.join(RUNTIMES)}")


def one(directory: str, options: Options) -> None:
    """One cell: print its figures as JSON."""
    torch.set_num_threads(1)
    recogniser = RecogniserOptions(runtime=options.one)
    if options.one == "torch":
        recogniser = RecogniserOptions(graph_dir=options.graph_dir, features=options.features)
    found = measure(load_recogniser(directory, recogniser), options.data, options.utterances)
    figures = {"wer": found.wer.wer, "words": found.wer.words, "rtf": found.rtf, "peak": found.peak_bytes}
    print(json.dumps({**figures, "bytes": (Path(directory) / FILES[options.one]).stat().st_size}))


def row(runtime: str, directory: str, options: Options) -> list[str]:
    """Cells of one runtime, measured in a process of its own."""
    command = [
        sys.executable, __file__, f"--one={runtime}", f"--utterances={options.utterances}",
        f"--graph-dir={options.graph_dir}", f"--feat-type={options.features.feat_type}",
        f"--feat-config={options.features.feat_config}", options.data, directory,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise HdnnError(f"{directory} in {NAMES[runtime]} failed; see above")
    f = json.loads(done.stdout.splitlines()[-1])
    return [NAMES[runtime], str(f["bytes"]), f"{f['wer']:.2f}", f"{f['rtf']:.3f}", f"{f['peak'] / 1e6:.0f}"]


def main(options: Options) -> None:
    if options.one:
        one(options.models[0], options)
        return
    print(
        "| model | runtime | bytes of the model | WER % | real-time factor | peak memory, MB |\n|---|---|---|---|---|---|"
    )
    for item in options.models:
        try:
            name, model_dir, export_dir = item.split("=")
        except ValueError as error:
            raise HdnnError(f"{item}: expected NAME=MODEL-DIR=EXPORT-DIR") from error
        for runtime in options.runtimes:
            cells = row(runtime, model_dir if runtime == "torch" else export_dir, options)
            print(f"| {' | '.join([name, *cells])} |", flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/deploy.py", __doc__ or "")
