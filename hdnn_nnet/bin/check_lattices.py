"""Check that a decode directory holds a whole lattice for every utterance of the data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.decode.completeness import require_lattices
from hdnn_nnet.kaldi.lattice_best import best_paths
from hdnn_nnet.kaldi.tables import read_scp
from hdnn_nnet.score.sweep import read_directory


def main(argv: Sequence[str] | None = None) -> int:
    """Fail, naming some, when utterances have no lattice; print counts and the density of the lattices."""
    parser = OptionParser("hdnn-check-lattices", __doc__ or "")
    parser.add_argument("--max-missing", type=float, default=0.0, help="share of utterances that may be missing")
    parser.add_argument("data", help="data directory with feats.scp")
    parser.add_argument("directory", help="decode directory with num_jobs and lat.N.gz")
    options = parser.parse_args(argv)
    wanted = read_scp(Path(options.data) / "feats.scp")
    found: set[str] = set()
    arcs = 0
    problems: list[str] = []
    for key, lattice in read_directory(options.directory, problems):
        best_paths(lattice, np.array([0.1]), np.zeros(1), f"{options.directory}, key {key}")
        found.add(key)
        arcs += lattice.num_arcs
    remedy = f"see {options.directory}/log/decode.*.log"
    require_lattices(options.directory, wanted, found, problems, options.max_missing, remedy)
    number = max(len(found), 1)
    print(f"{len(found)} of {len(wanted)} utterances have lattices, {arcs / number:.1f} arcs each")
    return 0


if __name__ == "__main__":
    run(main, "hdnn-check-lattices")
