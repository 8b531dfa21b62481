"""Where the lattices of sequence training come from: a table made before, or a decoder that runs during the training."""

import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import split_offset, without_gunzip
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.arcs import LatticeArcs, lattice_arcs
from hdnn_nnet.lattice.ops import prune, to_compact
from hdnn_nnet.lattice.table import read_lattice
from hdnn_nnet.lattice.types import AnyLattice, CompactLattice

#: factors of the lattice beam that are tried in turn on a lattice that is too large
_NARROWER = (0.75, 0.5, 0.25)


class LatticeSource(Protocol):
    """Lattices of a batch of utterances."""

    needs_loglikes: bool

    def __contains__(self, utt: str) -> bool: ...

    def signature(self) -> int:
        """Something that changes when the lattices are regenerated."""

    def lattices(self, utts: Sequence[str], loglikes: Sequence[np.ndarray]) -> list[AnyLattice | None]:
        """One lattice an utterance; None where there is none.

        Args:
            loglikes: (frames, pdfs) of each if `needs_loglikes`, else empty.
        """


class StoredLattices:
    """Lattices of a script file (`lat.scp` of make_denlats.sh, of Kaldi's or of ours)."""

    needs_loglikes = False

    def __init__(self, script: str) -> None:
        self.script = script
        self.lines = read_scp(script)

    def __contains__(self, utt: str) -> bool:
        return utt in self.lines

    def signature(self) -> int:
        # Names and offsets, and the files' sizes; reading all lattices would take minutes.
        value = zlib.crc32("\n".join(f"{utt} {name}" for utt, name in self.lines.items()).encode())
        for name in sorted({split_offset(without_gunzip(name))[0] for name in self.lines.values()}):
            if Path(name).is_file():
                value = zlib.crc32(str(Path(name).stat().st_size).encode(), value)
        return value

    def lattices(self, utts: Sequence[str], loglikes: Sequence[np.ndarray]) -> list[AnyLattice | None]:
        del loglikes
        result: list[AnyLattice | None] = []
        for utt in utts:
            try:
                result.append(read_lattice(self.lines[utt]))
            except HdnnError as error:
                raise HdnnError(f"{self.script}, key {utt}: {error}") from error
        return result


class DecodedLattices:
    """Lattices of the model in training, by our search on a denominator graph."""

    needs_loglikes = True

    def __init__(self, graph: str, model: TransitionModel, search: SearchOptions) -> None:
        from hdnn_nnet.decode.decoder import Decoder
        from hdnn_nnet.kaldi.fst import read_fst

        self._checksum = zlib.crc32(Path(graph).read_bytes()) if Path(graph).is_file() else 0
        self.decoder = Decoder(read_fst(graph), model.tid_to_pdf, search)

    def __contains__(self, utt: str) -> bool:
        return True

    def signature(self) -> int:
        return self._checksum

    def lattices(self, utts: Sequence[str], loglikes: Sequence[np.ndarray]) -> list[AnyLattice | None]:
        del utts
        # As make_denlats.sh: no lattice where the search reached no final state.
        return [None if result.partial else result.lattice for result in self.decoder.decode(list(loglikes))]


def bounded_arcs(
    lattice: AnyLattice,
    model: TransitionModel,
    where: str,
    max_entries: int,
    beam: float,
    acoustic_scale: float,
    skipped: Counter[str],
) -> LatticeArcs | None:
    """The arcs of a lattice, pruned when it has more than `max_entries` arcs and frames; None (and counted) if that fails.

    Args:
        beam: lattice beam that it was made with; narrower ones are tried.
        skipped: counts `pruned` and `too large`.
    """
    compact = lattice if isinstance(lattice, CompactLattice) else to_compact(lattice)
    for number, factor in enumerate((1.0, *_NARROWER)):
        smaller = compact if number == 0 else prune(compact, beam * factor, acoustic_scale, 1.0, where)
        if len(smaller.strings) + smaller.num_arcs <= max_entries:
            if number:
                skipped["pruned (not skipped)"] += 1
            return lattice_arcs(smaller, model, where)
    skipped["lattice too large"] += 1
    return None
