"""Table of runtimes and models: bytes, WER, real-time factor on one core and peak memory, from audio to words.

    python3 benchmarks/deploy.py [options] TEST-DATA NAME=MODEL-DIR=EXPORT-DIR ...

MODEL-DIR is a trained model, EXPORT-DIR what steps_py/export_nnet3.sh and export_onnx.sh made of it. Every cell is a process
of its own, which recognises all utterances from their audio, each as a whole; its features are computed by the runtime. The
real-time factor is processor time (without loading) by duration. Memory is the most the process ever had, graph and Python
included.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import OptionParser, run
from hdnn_nnet.runtime.load import RUNTIMES, Choices, load_recogniser
from hdnn_nnet.runtime.measure import measure

logger = logging.getLogger(__name__)
NAMES = {"torch": "PyTorch", "onnx": "ONNX fp32", "onnx-int8": "ONNX int8", "vosk": "Vosk"}
FILES = {
    "torch": "final.safetensors",
    "onnx": "onnx/stream.onnx",
    "onnx-int8": "onnx/stream.int8.onnx",
    "vosk": "am/final.mdl",
}


def one(runtime: str, directory: str, data: str, utterances: int, choices: Choices) -> None:
    """One cell: print its figures as JSON."""
    torch.set_num_threads(1)
    found = measure(load_recogniser(directory, choices), data, utterances)
    figures = {"wer": found.wer.wer, "words": found.wer.words, "rtf": found.rtf, "peak": found.peak_bytes}
    print(json.dumps({**figures, "bytes": (Path(directory) / FILES[runtime]).stat().st_size}))


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("deploy", (__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="data directory with wav.scp, segments and text")
    parser.add_argument("models", nargs="+", help="NAME=MODEL-DIR=EXPORT-DIR")
    parser.add_argument("--utterances", type=int, default=0, help="the first ones; 0: all")
    parser.add_argument("--runtimes", default=",".join(RUNTIMES), help="which, with commas")
    parser.add_argument("--graph-dir", default="", help="of the trained models; default: the one beside them")
    parser.add_argument("--feat-type", default="", help="for trained models without feat_opts")
    parser.add_argument("--feat-config", default="", help="likewise")
    parser.add_argument("--one", choices=("", *RUNTIMES), default="", help="used by the program itself")
    args = parser.parse_args(argv)
    if args.one:
        own = Choices(runtime=args.one)
        if args.one == "torch":
            own = Choices(graph_dir=args.graph_dir, feat_type=args.feat_type, feat_config=args.feat_config)
        one(args.one, args.models[0], args.data, args.utterances, own)
        return 0
    print(
        "| model | runtime | bytes of the model | WER % | real-time factor | peak memory, MB |\n|---|---|---|---|---|---|"
    )
    for item in args.models:
        try:
            name, model_dir, export_dir = item.split("=")
        except ValueError as error:
            raise HdnnError(f"{item}: expected NAME=MODEL-DIR=EXPORT-DIR") from error
        for runtime in args.runtimes.split(","):
            directory = model_dir if runtime == "torch" else export_dir
            command = [sys.executable, __file__, f"--one={runtime}", f"--utterances={args.utterances}"]
            command += [
                f"--graph-dir={args.graph_dir}",
                f"--feat-type={args.feat_type}",
                f"--feat-config={args.feat_config}",
            ]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            done = subprocess.run(
                [*command, args.data, directory], env=environment, stdout=subprocess.PIPE, text=True, check=False
            )
            if done.returncode != 0:
                raise HdnnError(f"{name} in {NAMES[runtime]} failed; see above")
            f = json.loads(done.stdout.splitlines()[-1])
            row = [
                name,
                NAMES[runtime],
                str(f["bytes"]),
                f"{f['wer']:.2f}",
                f"{f['rtf']:.3f}",
                f"{f['peak'] / 1e6:.0f}",
            ]
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    run(main, "deploy")
