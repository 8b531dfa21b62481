"""What a step of training costs one process, and each of several that share its minibatch.

    PYTHONPATH=. hdnn torchrun --nproc_per_node=2 benchmarks/ranks.py [--networks hdnn-h128l10] [--minibatches "256 1024"]

On several machines, or network namespaces, as docs/clusters.md says. In turns, the first process takes steps of a whole
minibatch alone while the others wait, and all take steps of their shares and sum their gradients. Milliseconds of a step and of
the summing in it: the median, the least (what counts where other work runs), and processor time of the first process, all
threads. `of one` is the least time of the step over that of the process alone.
"""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import distributed

from hdnn_nnet.cli import script
from hdnn_nnet.device.options import PRECISIONS
from hdnn_nnet.device.precision import choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.networks import AcousticModel, build_network
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option
from hdnn_nnet.train.criteria import CrossEntropy
from hdnn_nnet.train.distributed import Ranks, join
from hdnn_nnet.train.sgd import Sgd

FEAT_DIM, SPLICE = 40, 5


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    networks: str = option("hdnn-h128l10", "which, in quotes")
    minibatches: str = option("256 1024", "frames of all processes together, in quotes")
    pdfs: int = option(3927, "outputs", at_least=2)
    steps: int = option(60, "of a turn", at_least=1)
    rounds: int = option(3, "turns of each", at_least=1)
    precision: str = option("auto", "of the matrix products", choices=PRECISIONS)


class Turns:
    """Steps of a network on `frames` random frames, and how long they took, in milliseconds."""

    def __init__(self, model: AcousticModel, frames: int, pdfs: int) -> None:
        self.model, self.sgd, self.criterion = model, Sgd(list(model.parameters())), CrossEntropy()
        self.windows = torch.randn(frames, FEAT_DIM * (2 * SPLICE + 1))
        self.labels = torch.randint(pdfs, (frames,))
        self.whole: list[float] = []
        self.summing: list[float] = []
        self.processor: list[float] = []

    def take(self, steps: int, ranks: Ranks) -> None:
        """`steps` steps, and one before the clock starts; `ranks` of one process sum nothing."""
        for number in range(steps + 1):
            begin, used = time.perf_counter(), time.process_time()
            loss, _ = self.criterion(self.model.logits(self.windows), (self.labels,))
            loss.backward()
            computed = time.perf_counter()
            ranks.sum_gradients(list(self.model.parameters()))
            summed = time.perf_counter()
            self.sgd.step(1e-6, 0.9)
            if number:
                self.whole.append(1e3 * (time.perf_counter() - begin))
                self.summing.append(1e3 * (summed - computed))
                self.processor.append(1e3 * (time.process_time() - used))


def row(network: str, frames: int, processes: int, turns: Turns, alone: Turns) -> str:
    whole, summing = (f"{statistics.median(x):.1f} ({min(x):.1f})" for x in (turns.whole, turns.summing))
    ratio = min(turns.whole) / min(alone.whole)
    return f"| {network} | {frames} | {processes} | {whole} | {summing} | {statistics.mean(turns.processor):.1f} | {ratio:.2f} |"


def main(options: Options) -> None:
    torch.set_num_threads(1)
    ranks = join("cpu")
    if ranks.world == 1:
        raise HdnnError("start it by hdnn torchrun --nproc_per_node=2 benchmarks/ranks.py")
    if ranks.is_main:
        print("| network | minibatch | processes | step, ms | summing, ms | processor, ms | of one |")
        print("|---|---|---|---|---|---|---|")
    for name in options.networks.split():
        model = build_network(
            NetworkConfig(parse_name(name)[0], FEAT_DIM, options.pdfs, *parse_name(name)[1:], SPLICE, SPLICE)
        )
        model.compute_dtype = choose_dtype(options.precision, torch.device("cpu"))
        for frames in map(int, options.minibatches.split()):
            alone, shared = (Turns(model, n, options.pdfs) for n in (frames, -(-frames // ranks.world)))
            for _ in range(options.rounds):
                if ranks.is_main:
                    alone.take(options.steps, Ranks())
                distributed.barrier()
                shared.take(options.steps, ranks)
            if ranks.is_main:
                print(row(name, frames, 1, alone, alone))
                print(row(name, frames, ranks.world, shared, alone), flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/ranks.py", __doc__ or "")
