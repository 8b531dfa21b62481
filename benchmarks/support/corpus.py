"""A made-up corpus on disk: features, soft labels and lattices of some utterances, listed under as many names as wanted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.support.lattices import LENGTH, one_state_model, sausage
from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.table import LatticeWriter

FEAT_DIM = 40


@dataclass(frozen=True)
class Corpus:
    """Utterances of 500 random frames, with random targets.

    Attributes:
        folder: `feats.scp`, `utt2spk`, `post.scp` (soft labels of `entries` pdfs a frame).
        names: of what is on disk.
        alignments: transition-ids.
    """

    folder: Path
    names: list[str]
    model: TransitionModel
    alignments: dict[str, np.ndarray]

    @classmethod
    def make(cls, folder: Path, utterances: int, pdfs: int, entries: int) -> "Corpus":
        generator = np.random.default_rng(0)
        names = [f"u{i:05d}" for i in range(utterances)]
        model = one_state_model(pdfs)
        alignments = {u: generator.integers(1, model.num_transition_ids + 1, LENGTH).astype(np.int32) for u in names}
        with MatrixWriter(f"ark,scp:{folder}/feats.ark,{folder}/feats.scp") as features:
            for u in names:
                features.write_matrix(u, generator.standard_normal((LENGTH, FEAT_DIM)).astype(np.float32))
        with PosteriorWriter(f"ark,scp:{folder}/post.ark,{folder}/post.scp", "compact") as soft:
            for u in names:
                soft.write_posteriors(u, random_posteriors(generator, pdfs, entries))
        (folder / "utt2spk").write_text("".join(f"{u} {u}\n" for u in names), encoding="utf-8")
        return cls(folder, names, model, alignments)

    def lattices(self, arcs_a_frame: float) -> tuple[str, dict[str, np.ndarray]]:
        """A script file of lattices of this density, one an utterance, and alignments that are paths of them."""
        generator = np.random.default_rng(1)
        where = f"{self.folder}/lat.{arcs_a_frame:g}"
        alignments = {}
        with LatticeWriter(f"ark,scp:{where}.ark,{where}.scp") as writer:
            for u in self.names:
                lattice, alignments[u] = sausage(generator, self.model.num_transition_ids, max(1.0, arcs_a_frame / 9))
                writer.write_lattice(u, lattice)
        return f"{where}.scp", alignments

    def listed(self, times: int) -> dict[str, int]:
        """Names and frames of `times` times the corpus; `on_disk` tells which utterance a name stands for."""
        return {f"{u}-{number}": LENGTH for number in range(times) for u in self.names}

    def bytes_a_frame(self, *files: str) -> float:
        """What must be read for a frame: the size of files of the folder over the frames that they are of."""
        return sum((self.folder / name).stat().st_size for name in files) / (LENGTH * len(self.names))


def random_posteriors(
    generator: np.random.Generator, pdfs: int, entries: int, frames: int = LENGTH
) -> SparsePosteriors:
    """`entries` different pdfs in each frame, the same weight for all."""
    entries = min(entries, pdfs)
    first = generator.integers(pdfs, size=(frames, 1))
    chosen = (first + np.arange(entries) * (pdfs // entries)) % pdfs
    weights = np.full(frames * entries, 1 / entries, np.float32)
    return SparsePosteriors(
        np.arange(frames + 1, dtype=np.int64) * entries, chosen.reshape(-1).astype(np.int32), weights
    )


def on_disk(name: str) -> str:
    """The utterance that a listed name stands for."""
    return name.partition("-")[0]
