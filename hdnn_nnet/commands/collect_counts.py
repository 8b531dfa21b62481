"""Sum the counts of jobs, vectors in Kaldi's text form."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Counts."""

    total: str = argument("file to write")
    parts: tuple[str, ...] = argument("files to sum", nargs="+")


EXAMPLE = "hdnn collect counts exp/hdnn/prior_counts exp/hdnn/prior_counts.1 exp/hdnn/prior_counts.2"


def main(options: Options) -> None:
    import numpy as np

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.alignments import read_counts, write_counts

    counts = [read_counts(path) for path in options.parts]
    for path, part in zip(options.parts, counts, strict=True):
        if len(part) != len(counts[0]):
            raise HdnnError(
                f"{path} has {len(part)} pdfs, {options.parts[0]} {len(counts[0])}; they are not of one model"
            )
    total = np.sum(counts, axis=0)
    if total.sum() <= 0:
        raise HdnnError(f"{' '.join(options.parts[:3])}: all counts are zero; is the data directory empty?")
    write_counts(options.total, total)
    print(f"{len(total)} pdfs, {total.sum():.0f} frames")
