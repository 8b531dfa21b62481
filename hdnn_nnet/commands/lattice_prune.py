"""Prune lattices to a beam around their best paths (the counterpart of lattice-prune); their form is kept."""

from dataclasses import dataclass

from hdnn_nnet.lattice.options import ScaleOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    lattices: str = argument("table of lattices, an archive such as lat.1.gz, or a decode directory")
    wspecifier: str = argument("where they go, for example ark:| gzip -c > pruned.gz")
    beam: float = option(10.0, "what is on no path within this of the best one is dropped; in scaled costs", above=0)
    scales: ScaleOptions = group(ScaleOptions)


EXAMPLE = "hdnn lattice prune --acoustic-scale 0.1 --beam 4 lat.1.gz 'ark:| gzip -c > pruned.gz'"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.lattice.directory import open_lattices
    from hdnn_nnet.lattice.ops import prune
    from hdnn_nnet.lattice.table import LatticeWriter

    log = logging.getLogger(__name__)
    done = failed = before = after = 0
    acoustic_scale, lm_scale = options.scales.acoustic_scale, options.scales.lm_scale
    with LatticeWriter(options.wspecifier) as writer:
        for key, lattice in open_lattices(options.lattices):
            try:
                pruned = prune(lattice, options.beam, acoustic_scale, lm_scale, f"{options.lattices}, key {key}")
            except HdnnError as error:
                log.warning("%s", error)
                failed += 1
                continue
            writer.write_lattice(key, pruned)
            done, before, after = done + 1, before + lattice.num_arcs, after + pruned.num_arcs
        if not done:
            raise HdnnError(f"{options.lattices}: no lattice with a path")
    log.info("Pruned %d lattices from %d to %d arcs; %d without a path left out", done, before, after, failed)
