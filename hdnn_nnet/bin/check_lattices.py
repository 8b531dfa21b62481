"""Check that a decode directory holds a whole lattice for every utterance of the data."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.lattice_best import best_paths
from hdnn_nnet.kaldi.tables import read_scp
from hdnn_nnet.score.sweep import read_directory

logger = logging.getLogger(__name__)
MOST_NAMED = 100


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
    missing = [key for key in wanted if key not in found]
    if missing or problems:
        text = f"{len(missing)} of {len(wanted)} utterances have no lattice"
        if missing:
            text += f": {' '.join(missing[:MOST_NAMED])}{' ...' if len(missing) > MOST_NAMED else ''}"
        if problems or len(missing) > options.max_missing * len(wanted):
            text = "; ".join([text, *problems])
            raise HdnnError(f"{options.directory}: {text}; see {options.directory}/log/decode.*.log")
        logger.warning("%s", text)
    number = max(len(found), 1)
    print(f"{len(found)} of {len(wanted)} utterances have lattices, {arcs / number:.1f} arcs each")
    return 0


if __name__ == "__main__":
    run(main, "hdnn-check-lattices")
