"""Memory of a lattice pass as a function of the lattice's density: MB above the process at rest, for both engines.

    PYTHONPATH=. python3 benchmarks/smbr_memory.py [--words "1 4 16 64 256"]

One made-up utterance a process: words of 25 frames with 3 times for every border and so many words between any two of them. An
arc-frame is one frame of one arc; density is arc-frames by frames, as lattice-depth counts. Measured from the compact lattice in
memory to the gradient, without the network; the peak is what the kernel reports (ru_maxrss).
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.support.lattices import one_state_model, sausage
from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.arcs import lattice_arcs
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option
from hdnn_nnet.sequence.batch import make_batch
from hdnn_nnet.sequence.objectives import evaluate
from hdnn_nnet.sequence.options import SequenceOptions

PDFS = 3927


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    words: str = option("4 16 64 256", "between any two borders, one row for each; in quotes")
    engines: str = option("torch k2", "lattice engines, in quotes")
    one: str = option("", "used by the program itself")


def peak() -> int:
    """Bytes that this process had at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(words: int, engine: str) -> dict[str, float]:
    """One pass in this process."""
    model = one_state_model(PDFS)
    options = SequenceOptions(criterion="smbr", silence_phones=(1,), engine=engine)

    def update(count: int) -> tuple[int, int, int, float]:
        lattice, alignment = sausage(np.random.default_rng(0), model.num_transition_ids, count)
        before, started = peak(), time.process_time()
        _, batch = make_batch([lattice_arcs(lattice, model, "u")], [alignment], model).used_pdfs()
        evaluate(torch.zeros(batch.num_frames, batch.num_pdfs), batch, options)
        return len(batch.arc), batch.num_frames, peak() - before, time.process_time() - started

    update(1)  # libraries take their share
    entries, frames, grown, seconds = update(words)
    return {"density": entries / frames, "entries": entries, "bytes": grown, "seconds": seconds}


def main(options: Options) -> None:
    if options.one:
        engine, words = options.one.split()
        print(json.dumps(measure(int(words), engine)))
        return
    print(
        "| density (arcs a frame) | arc-frames | engine | peak, MB | bytes an arc-frame | ms |\n|---|---|---|---|---|---|"
    )
    for words in options.words.split():
        for engine in options.engines.split():
            command = [sys.executable, "-m", "benchmarks.smbr_memory", f"--one={engine} {words}"]
            # Freed blocks must go back, or the peak counts them too.
            environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise HdnnError(f"{engine}, {words} words: {done.stderr.strip().splitlines()[-1]}")
            found = json.loads(done.stdout)
            print(
                f"| {found['density']:.0f} | {found['entries']} | {engine} | {found['bytes'] / 1e6:.1f} | "
                f"{found['bytes'] / found['entries']:.0f} | {found['seconds'] * 1000:.0f} |"
            )


if __name__ == "__main__":
    script(Options, main, "benchmarks/smbr_memory.py", __doc__ or "")
