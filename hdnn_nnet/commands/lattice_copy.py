"""Copy lattices: to compact or state-level form, to text or binary, or some of them only (the counterpart of lattice-copy)."""

from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    lattices: str = argument("table of lattices, an archive such as lat.1.gz, or a decode directory")
    wspecifier: str = argument("where they go, for example ark,scp:lat.ark,lat.scp, or ark,t:- for text")
    write_compact: bool = option(True, "write compact lattices; false: state-level ones")
    include: str = option("", "file whose lines begin with the utterances to copy")
    exclude: str = option("", "file whose lines begin with the utterances not to copy")
    ignore_missing: bool = option(False, "it is no error if nothing is copied")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.include and self.exclude:
            raise HdnnError("give --include or --exclude, not both")


EXAMPLE = "hdnn lattice copy --write-compact=false exp/hdnn/decode_dev/lat.1.gz ark,t:lat.txt"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.kaldi.tables import read_scp
    from hdnn_nnet.lattice.directory import open_lattices
    from hdnn_nnet.lattice.ops import to_compact
    from hdnn_nnet.lattice.table import LatticeWriter
    from hdnn_nnet.lattice.types import CompactLattice, expand

    log = logging.getLogger(__name__)
    chosen = read_scp(options.include or options.exclude) if options.include or options.exclude else None
    done = total = 0
    with LatticeWriter(options.wspecifier) as writer:
        for key, lattice in open_lattices(options.lattices):
            total += 1
            if chosen is not None and (key in chosen) != bool(options.include):
                continue
            if options.write_compact:
                lattice = lattice if isinstance(lattice, CompactLattice) else to_compact(lattice)
            elif isinstance(lattice, CompactLattice):
                lattice = expand(lattice)
            writer.write_lattice(key, lattice)
            done += 1
        if not done and not options.ignore_missing:
            raise HdnnError(f"{options.lattices}: none of {total} lattices was to be copied; see --ignore-missing")
    log.info("Copied %d of %d lattices", done, total)
