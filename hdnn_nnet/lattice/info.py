"""Sizes of lattices."""

from dataclasses import dataclass

from hdnn_nnet.lattice.times import arc_frames, num_frames
from hdnn_nnet.lattice.types import AnyLattice, CompactLattice


@dataclass(frozen=True)
class LatticeInfo:
    """Sizes of one lattice, or sums over several.

    Attributes:
        finals: final states.
        arc_frames: one for every frame of every arc and final weight.
    """

    states: int = 0
    arcs: int = 0
    finals: int = 0
    frames: int = 0
    arc_frames: int = 0

    @property
    def density(self) -> float:
        """Arcs that cross a frame, on average (Kaldi's lattice-depth); 1 without frames."""
        return self.arc_frames / self.frames if self.frames else 1.0

    def __add__(self, other: "LatticeInfo") -> "LatticeInfo":
        return LatticeInfo(*(getattr(self, name) + getattr(other, name) for name in vars(self)))


def describe(lattice: AnyLattice, where: str = "lattice") -> LatticeInfo:
    """Count.

    Raises:
        HdnnError: no path reaches a final state, a cycle, or paths that differ in length.
    """
    entries = int(arc_frames(lattice).sum())
    if isinstance(lattice, CompactLattice):
        entries += len(lattice.final_strings)
    finals = int(lattice.is_final().sum())
    return LatticeInfo(lattice.num_states, lattice.num_arcs, finals, num_frames(lattice, where), entries)
