"""Sum the counts of jobs, vectors in Kaldi's text form."""

from collections.abc import Sequence

import numpy as np

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_counts, write_counts

PROGRAM = "hdnn-sum-counts"


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument("total", help="file to write")
    parser.add_argument("parts", nargs="+", help="files to sum")
    args = parser.parse_args(argv)
    counts = [read_counts(path) for path in args.parts]
    for path, part in zip(args.parts, counts, strict=True):
        if len(part) != len(counts[0]):
            raise HdnnError(f"{path} has {len(part)} pdfs, {args.parts[0]} {len(counts[0])}; they are not of one model")
    total = np.sum(counts, axis=0)
    if total.sum() <= 0:
        raise HdnnError(f"{' '.join(args.parts[:3])}: all counts are zero; is the data directory empty?")
    write_counts(args.total, total)
    print(f"{len(total)} pdfs, {total.sum():.0f} frames")
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
