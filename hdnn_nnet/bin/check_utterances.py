"""Check that no utterance was lost between two stages: what one file lists must be in another file or alignment directory.

Kaldi's steps leave out utterances (or all of a speaker whose transform is missing) with a warning in some log only.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.tables import read_scp

logger = logging.getLogger(__name__)
PROGRAM = "hdnn-check-utterances"
SHOWN = 10


def utterances(where: Path) -> Collection[str]:
    """First column of a table (feats.scp, utt2spk, ...), or the utterances that an alignment directory holds."""
    return read_alignments(where) if where.is_dir() else read_scp(where)


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument("--max-missing", type=float, default=0.0, help="share of utterances that may be missing")
    parser.add_argument("expected", type=Path, help="file with an utterance in the first column, or data directory")
    parser.add_argument("found", type=Path, help="the same, or alignment directory")
    args = parser.parse_args(argv)
    expected = args.expected / "feats.scp" if args.expected.is_dir() else args.expected
    wanted, found = utterances(expected), set(utterances(args.found))
    missing = [utterance for utterance in wanted if utterance not in found]
    if missing:
        text = f"{args.found}: {len(missing)} of the {len(wanted)} utterances of {expected} are missing"
        text += f" ({' '.join(missing[:SHOWN])}{' ...' if len(missing) > SHOWN else ''})"
        if len(missing) > args.max_missing * len(wanted):
            raise HdnnError(
                f"{text}, more than the allowed share of {args.max_missing:g}; see the logs of the step before"
            )
        logger.warning("%s", text)
    logger.info("%s: %d of %d utterances", args.found, len(wanted) - len(missing), len(wanted))
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
