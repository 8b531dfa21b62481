"""What MKL's fast kernels are worth on a processor that is not Intel's: training and forward pass with them and without.

    PYTHONPATH=. python3 benchmarks/mkl.py [--networks "hdnn-h128l10 dnn-h2048l6"]

ce.py in processes of its own, by turns with what `hdnn_nnet.device.mkl` sets and with MKL's own choice, as an empty
MKL_DEBUG_CPU_TYPE leaves it; medians over the rounds. On Intel's processors both are the same.
"""

import os
import statistics
from dataclasses import dataclass

from benchmarks.support.output import output
from hdnn_nnet.cli import script
from hdnn_nnet.device.doctor import processor
from hdnn_nnet.device.options import PRECISIONS
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option

#: columns of ce.py's table: (what, number)
COLUMNS = (("CE", 2), ("forward", 5))
VARIABLE = "MKL_DEBUG_CPU_TYPE"


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    networks: str = option("hdnn-h128l10 hdnn-h512l10 dnn-h2048l6", "which, in quotes")
    pdfs: int = option(3927, "outputs", at_least=1)
    rounds: int = option(3, "turns of each", at_least=1)
    seconds: float = option(3.0, "rough length of a training turn", above=0)
    precision: str = option("fp32", "of our products", choices=PRECISIONS)


def speeds(name: str, options: Options, ours: bool) -> list[float]:
    """Frames per second of COLUMNS."""
    environment = {k: v for k, v in os.environ.items() if k not in ("KALDI_ROOT", VARIABLE)}
    if not ours:
        environment[VARIABLE] = ""
    words = [
        f"--networks={name}",
        "--rounds=1",
        *(f"--{n}={getattr(options, n)}" for n in ("pdfs", "seconds", "precision")),
    ]
    cells = output("ce", *words, environment=environment)[-1].strip("| ").split(" | ")
    return [float(cells[column]) for _, column in COLUMNS]


def main(options: Options) -> None:
    print(f"{processor()}; {options.precision}, {options.pdfs} pdfs, one thread")
    print("| what | network | frames/s | MKL's own choice | ratio |")
    print("|---|---|---|---|---|")
    for name in options.networks.split():
        turns = [(speeds(name, options, True), speeds(name, options, False)) for _ in range(options.rounds)]
        for number, (what, _) in enumerate(COLUMNS):
            here, there = (statistics.median(turn[side][number] for turn in turns) for side in range(2))
            print(f"| {what} | {name} | {here:.0f} | {there:.0f} | {here / there:.2f} |", flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/mkl.py", __doc__ or "")
