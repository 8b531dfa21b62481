"""Check that no utterance was lost between two stages: what one file lists must be in another file or alignment directory.

Kaldi's steps leave out utterances (or all of a speaker whose transform is missing) with a warning in some log only.
"""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Check."""

    expected: Path = argument("file with an utterance in the first column, or data directory")
    found: Path = argument("the same, or alignment directory")
    max_missing: float = option(0.0, "share of utterances that may be missing", at_least=0, at_most=1)


EXAMPLE = "hdnn check utterances data/train exp/tri4a_ali"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.accounting import announced_utterances
    from hdnn_nnet.kaldi.alignments import read_alignments
    from hdnn_nnet.kaldi.script_table import read_scp

    log = logging.getLogger(__name__)
    where = options.expected
    wanted = announced_utterances(where) if where.is_dir() else list(read_scp(where))
    # An alignment directory, or a table (feats.scp, utt2spk, ...).
    found = set(read_alignments(options.found) if options.found.is_dir() else read_scp(options.found))
    missing = [utterance for utterance in wanted if utterance not in found]
    if missing:
        text = f"{options.found}: {len(missing)} of the {len(wanted)} utterances of {where} are missing"
        text += f" ({' '.join(missing[:_SHOWN])}{' ...' if len(missing) > _SHOWN else ''})"
        if len(missing) > options.max_missing * len(wanted):
            raise HdnnError(
                f"{text}, more than the allowed share of {options.max_missing:g}; see the logs of the step before"
            )
        log.warning("%s", text)
    log.info("%s: %d of %d utterances", options.found, len(wanted) - len(missing), len(wanted))
