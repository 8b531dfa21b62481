"""Sizes of lattices, in sum and by utterance; a lattice without a path, or with paths that differ in length, is an error."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    lattices: str = argument("table of lattices, an archive such as lat.1.gz, or a decode directory")
    per_utt: bool = option(False, "one line an utterance first: states, arcs, final states, frames, density")


EXAMPLE = "hdnn lattice info --per-utt exp/hdnn/decode_dev"


def main(options: Options) -> int:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.lattice.directory import open_lattices
    from hdnn_nnet.lattice.info import LatticeInfo, describe
    from hdnn_nnet.lattice.types import CompactLattice

    log = logging.getLogger(__name__)
    done = compact = wrong = 0
    total = LatticeInfo()
    for key, lattice in open_lattices(options.lattices):
        try:
            found = describe(lattice, f"{options.lattices}, key {key}")
        except HdnnError as error:
            log.error("%s", error)
            wrong += 1
            continue
        done, compact, total = done + 1, compact + isinstance(lattice, CompactLattice), total + found
        if options.per_utt:
            print(key, found.states, found.arcs, found.finals, found.frames, f"{found.density:.6g}")
    if not done + wrong:
        raise HdnnError(f"{options.lattices} holds no lattices")
    print(f"{done} lattices, {compact} of them compact; {wrong} without a path or with paths of different lengths")
    for name, value in (("states", total.states), ("arcs", total.arcs), ("final states", total.finals)):
        print(f"{value} {name}, {value / max(done, 1):.1f} a lattice")
    print(f"Overall density is {total.density:.6g} over {total.frames} frames.")
    return 1 if wrong else 0
