"""FSAs of k2 to lattices: files of `hdnn lattice to-k2`, or FSAs saved as docs/lattices.md says.

Costs are minus lm_scores and am_scores; without these attributes, the graph cost is minus the score.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    file: str = argument("safetensors file with FSAs")
    wspecifier: str = argument("where the lattices go, for example ark:| gzip -c > lat.1.gz")


EXAMPLE = "hdnn lattice from-k2 rescored.safetensors 'ark:| gzip -c > lat.1.gz'"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.lattice.k2_files import read_k2
    from hdnn_nnet.lattice.table import LatticeWriter

    log = logging.getLogger(__name__)
    done = 0
    with LatticeWriter(options.wspecifier) as writer:
        for key, lattice in read_k2(options.file):
            writer.write_lattice(key, lattice)
            done += 1
    log.info("Wrote %d lattices to %s", done, options.wspecifier)
