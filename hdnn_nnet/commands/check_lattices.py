"""Check that a decode directory holds a whole lattice for every utterance of the data."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    data: str = argument("data directory")
    directory: str = argument("decode directory with num_jobs and lat.N.gz")
    max_missing: float = option(0.0, "share of utterances that may be missing", at_least=0, at_most=1)


EXAMPLE = "hdnn check lattices data/dev exp/hdnn/decode_dev"


def main(options: Options) -> None:
    import numpy as np

    from hdnn_nnet.decode.completeness import require_lattices
    from hdnn_nnet.errors import EmptyLatticeError
    from hdnn_nnet.kaldi.accounting import announced_utterances
    from hdnn_nnet.lattice.best_path import best_paths
    from hdnn_nnet.lattice.directory import read_directory

    wanted = announced_utterances(options.data)
    found: set[str] = set()
    arcs = 0
    problems: list[str] = []
    for key, lattice in read_directory(options.directory, problems):
        try:
            best_paths(lattice, np.array([0.1]), np.zeros(1), f"{options.directory}, key {key}")
        except EmptyLatticeError:
            continue  # as good as none
        found.add(key)
        arcs += lattice.num_arcs
    remedy = f"see {options.directory}/log/decode.*.log"
    require_lattices(options.directory, wanted, found, problems, options.max_missing, remedy)
    number = max(len(found), 1)
    print(f"{len(found)} of {len(wanted)} utterances have lattices, {arcs / number:.1f} arcs each")
