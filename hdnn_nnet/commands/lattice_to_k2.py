"""Lattices to FSAs of k2, in one safetensors file without pickles (docs/lattices.md says how to load it).

Compact lattices become word acceptors with transition-ids as a ragged attribute, state-level ones (`hdnn lattice copy
--write-compact=false`) transducers from transition-ids to words. `hdnn lattice from-k2` gives the same lattices back.
"""

from dataclasses import dataclass

from hdnn_nnet.lattice.options import ScaleOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    lattices: str = argument("table of lattices, an archive such as lat.1.gz, or a decode directory")
    file: str = argument("safetensors file to write")
    scales: ScaleOptions = group(
        ScaleOptions, "Scores of arcs: -(lm-scale * graph cost + acoustic-scale * acoustic cost)"
    )


EXAMPLE = "hdnn lattice to-k2 --acoustic-scale 0.1 lat.1.gz lat.1.safetensors"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.lattice.directory import open_lattices
    from hdnn_nnet.lattice.k2_files import write_k2

    log = logging.getLogger(__name__)
    scales = options.scales
    done = write_k2(options.file, open_lattices(options.lattices), scales.lm_scale, scales.acoustic_scale)
    log.info("Wrote %d lattices to %s", done, options.file)
