"""Both forms of stored soft labels side by side: size, speed of reading, and what the compact form changes.

    PYTHONPATH=. python3 benchmarks/soft_labels.py [--labels exp/soft/post.scp] [--utterances 300]

The first utterances of a table are copied to both forms; without --labels, made-up posteriors. `read` is the table alone;
`loader` is what a training does before the network's turn: reading, scaling, shuffling, minibatches of 256 (features are made
up and in memory). Turns alternate; frames a second of processor time, medians over the rounds. Changes are those of the labels
as trainings take them, brought to a temperature and scaled to sum to 1.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.support.corpus import FEAT_DIM
from hdnn_nnet.cli import script
from hdnn_nnet.kaldi.options import FORMS
from hdnn_nnet.kaldi.posteriors import PosteriorTable, PosteriorWriter, SparsePosteriors, read_posteriors
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option
from hdnn_nnet.train.frames import FrameShuffler
from hdnn_nnet.train.soft_labels import temper
from hdnn_nnet.train.soft_sources import open_soft_labels

LENGTH, SPLICE = 500, 5


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    labels: str = option("", "table of posteriors")
    utterances: int = option(300, "of it, or made up", at_least=1)
    pdfs: int = option(3927, "of made-up posteriors", at_least=2)
    entries: int = option(20, "the same, a frame", at_least=1)
    rounds: int = option(3, "turns of each", at_least=1)


def made_up(options: Options) -> Mapping[str, SparsePosteriors]:
    """Peaked posteriors of `entries` random pdfs."""
    generator = np.random.default_rng(0)
    result = {}
    for number in range(options.utterances):
        weights = generator.dirichlet(np.full(options.entries, 0.2), LENGTH).astype(np.float32) + np.float32(1e-5)
        pdfs = generator.integers(options.pdfs, size=weights.size).astype(np.int32)
        offsets = np.arange(LENGTH + 1, dtype=np.int64) * options.entries
        result[f"u{number:05d}"] = SparsePosteriors(offsets, pdfs, weights.reshape(-1))
    return result


def read(script_file: str) -> int:
    table = PosteriorTable(script_file)
    return sum(len(table[utt]) for utt in table.lines)


def load(script_file: str, num_pdfs: int) -> int:
    source = open_soft_labels(f"scp:{script_file}", num_pdfs)
    features = np.zeros((max(source.num_frames.values()), FEAT_DIM), np.float32)
    shuffler = FrameShuffler(
        source.num_frames, lambda utt: features[: source.num_frames[utt]], source.targets, SPLICE, SPLICE
    )
    return sum(len(batch.windows) for batch in shuffler.epoch(1))


def speed(work: Callable[[], int]) -> float:
    """Frames a second of processor time, of all threads."""
    started = time.process_time()
    frames = work()
    return frames / (time.process_time() - started)


def sorted_shares(posteriors: SparsePosteriors, temperature: float) -> np.ndarray:
    """(entries,) float64 shares of each frame at a temperature, by pdf."""
    rows = np.repeat(np.arange(len(posteriors)), np.diff(posteriors.offsets))
    order = np.lexsort((posteriors.pdfs, rows))
    sparse = SparsePosteriors(posteriors.offsets, posteriors.pdfs[order], posteriors.weights[order].astype(np.float64))
    return temper(sparse, temperature).weights


def changes(one: str, other: str, temperature: float) -> tuple[float, float]:
    """Mean divergence of the labels of `other` from those of `one` in nats a frame, and the largest change of a share.

    No entry of either may be 0.
    """
    ours, theirs = PosteriorTable(one), PosteriorTable(other)
    divergence, largest, frames = 0.0, 0.0, 0
    for utt in ours.lines:
        p, q = (sorted_shares(table[utt], temperature) for table in (ours, theirs))
        divergence += float((p * np.log(p / q)).sum())
        largest = max(largest, float(np.abs(p - q).max()))
        frames += len(ours[utt])
    return divergence / frames, largest


def main(options: Options) -> None:
    labels = read_posteriors(options.labels) if options.labels else made_up(options).items()
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        scripts = {form: f"{name}/{form}.scp" for form in FORMS}
        frames = entries = num_pdfs = 0
        with (
            PosteriorWriter(f"ark,scp:{name}/kaldi.ark,{scripts['kaldi']}", "kaldi") as kaldi,
            PosteriorWriter(f"ark,scp:{name}/compact.ark,{scripts['compact']}", "compact") as compact,
        ):
            for utt, posteriors in islice(labels, options.utterances):
                kaldi.write_posteriors(utt, posteriors)
                compact.write_posteriors(utt, posteriors)
                frames, entries = frames + len(posteriors), entries + len(posteriors.pdfs)
                num_pdfs = max(num_pdfs, int(posteriors.pdfs.max()) + 1)
        speeds: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for form, file in scripts.items():
                speeds.setdefault((form, "read"), []).append(speed(partial(read, file)))
                speeds.setdefault((form, "load"), []).append(speed(partial(load, file, num_pdfs)))
        print(f"{frames} frames, {entries / frames:.1f} pdfs a frame")
        print("| form | bytes a frame | read, frames/s | loader, frames/s |")
        print("|---|---|---|---|")
        rows = {
            form: [Path(f"{name}/{form}.ark").stat().st_size / frames]
            + [statistics.median(speeds[form, what]) for what in ("read", "load")]
            for form in FORMS
        }
        for form, (size, reading, loading) in rows.items():
            print(f"| {form} | {size:.1f} | {reading:.0f} | {loading:.0f} |")
        ratios = [b / a for a, b in zip(rows["kaldi"], rows["compact"], strict=True)]
        print(f"| compact / kaldi | {ratios[0]:.3f} | {ratios[1]:.1f} | {ratios[2]:.2f} |")
        for temperature in (1.0, 2.0, 3.0):
            divergence, largest = changes(scripts["kaldi"], scripts["compact"], temperature)
            print(f"temperature {temperature:g}: {divergence:.2g} nats a frame, largest change {largest:.4f}")


if __name__ == "__main__":
    script(Options, main, "benchmarks/soft_labels.py", __doc__ or "")
