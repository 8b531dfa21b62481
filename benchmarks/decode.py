"""Real-time factor of our decoder by each search and, where KALDI_ROOT is set, of Kaldi's latgen-faster-mapped, in one run.

    python3 benchmarks/decode.py [options] exp/mono/final.mdl exp/mono/graph/HCLG.fst ark:loglikes.ark

The log-likelihoods are those that `hdnn forward model data ark:loglikes.ark` writes. The decoders take turns, one thread
each; times are user plus system seconds of the whole process, so that other work on the machine counts little, with the
time to start and to read the graph given apart (from a run on ten frames).
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import kaldiio
import numpy as np

from hdnn_nnet.cli import script
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.lattice.best_path import best_paths
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    model: str = argument("transition model (final.mdl)")
    graph: str = argument("HCLG.fst")
    loglikes: str = argument("rspecifier of log-likelihoods")
    utterances: int = option(40, "number of utterances", at_least=1)
    rounds: int = option(2, "times that every decoder runs; the fastest counts", at_least=1)
    beam: float = option(11.0, "search beam", above=0)
    lattice_beam: float = option(6.0, "lattice beam", above=0)
    max_active: int = option(2000, "limit of active states", at_least=1)
    min_active: int = option(SearchOptions.min_active, "states that are alive at least", at_least=0)
    acoustic_scale: float = option(SearchOptions.acoustic_scale, "of the search", above=0)
    frames_per_second: float = option(100.0, "frame rate", above=0)


def decoders() -> dict[str, list[str]]:
    """Commands of the decoders at hand."""
    searches = ["k2", "numpy"] if find_spec("k2") else ["numpy"]
    found = {name: [sys.executable, "-m", "hdnn_nnet", "latgen", f"--search={name}"] for name in searches}
    root = os.environ.get("KALDI_ROOT", "")
    kaldi = Path(root) / "src/bin/latgen-faster-mapped"
    if root and kaldi.exists():
        found["latgen-faster-mapped"] = [str(kaldi)]
    return found


def timed(command: Sequence[str]) -> float:
    """CPU seconds of a command, single-threaded."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise HdnnError(f"{command[0]} failed: {done.stderr.strip().splitlines()[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(options: Options) -> None:
    """Print one line a decoder, and the ratio of their real-time factors."""
    with tempfile.TemporaryDirectory() as folder:
        part, one = Path(folder) / "part.ark", Path(folder) / "one.ark"
        frames = count = 0
        with open(part, "wb") as stream:
            for key, matrix in read_matrices(options.loglikes):
                kaldiio.save_ark(stream, {key: matrix})
                if count == 0:
                    kaldiio.save_ark(str(one), {key: matrix[:10]})
                frames, count = frames + len(matrix), count + 1
                if count == options.utterances:
                    break
        if not count:
            raise HdnnError(f"{options.loglikes} holds no utterance")
        common = [
            f"--beam={options.beam}", f"--lattice-beam={options.lattice_beam}", f"--max-active={options.max_active}",
            f"--min-active={options.min_active}", f"--acoustic-scale={options.acoustic_scale}", "--allow-partial=true",
            options.model, options.graph,
        ]  # fmt: skip
        starts: dict[str, list[float]] = {}
        totals: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for name, command in decoders().items():
                out = f"ark:{folder}/{name}.ark"
                starts.setdefault(name, []).append(timed([*command, *common, f"ark:{one}", out]))
                totals.setdefault(name, []).append(timed([*command, *common, f"ark:{part}", out]))
        print(f"{count} utterances, {frames} frames, beam {options.beam:g}, lattice beam {options.lattice_beam:g}, "
              f"max-active {options.max_active}, CPU seconds, best of {options.rounds}")  # fmt: skip
        factors = {}
        for name in totals:
            seconds = min(totals[name]) - min(starts[name])
            factors[name] = seconds * options.frames_per_second / frames
            arcs, cost = _quality(f"{folder}/{name}.ark", options.acoustic_scale)
            print(
                f"{name:<22} real-time factor {factors[name]:.4f}  start {min(starts[name]):.1f} s  "
                f"log-likelihood per frame {-cost / frames:.4f}  arcs per utterance {arcs / count:.0f}"
            )
        first = next(iter(factors))
        for name, factor in factors.items():
            if name != first:
                print(f"ratio {name} / {first}: {factor / factors[first]:.2f} (above 1: {first} is faster)")


def _quality(path: str, scale: float) -> tuple[int, float]:
    """Arcs and summed cost of the best paths of an archive."""
    arcs, cost = 0, 0.0
    for key, lattice in read_lattices(path):
        best = best_paths(lattice, np.array([scale]), np.zeros(1), key)[0]
        arcs, cost = arcs + lattice.num_arcs, cost + best.graph + scale * best.acoustic
    return arcs, cost


if __name__ == "__main__":
    script(Options, main, "benchmarks/decode.py", __doc__ or "")
