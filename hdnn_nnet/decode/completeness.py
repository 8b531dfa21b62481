"""Does every utterance have its lattice?"""

import logging
from collections.abc import Collection, Sequence

from hdnn_nnet.errors import HdnnError

log = logging.getLogger(__name__)
MOST_NAMED = 100


def require_lattices(
    where: object,
    wanted: Collection[str],
    found: Collection[str],
    problems: Sequence[str],
    max_missing: float,
    remedy: str,
) -> None:
    """Warn of the utterances of `wanted` that are not in `found`; raise if too many are missing or there are `problems`.

    Args:
        where: the directory, for the message
        wanted: utterances of the data directory, in its order
        found: utterances that have a lattice
        problems: what is wrong with the archives, a sentence each; none is forgiven
        max_missing: share of `wanted` that may be missing
        remedy: what the user can do

    Raises:
        HdnnError: it names up to `MOST_NAMED` utterances, the problems and the remedy
    """
    missing = [utterance for utterance in wanted if utterance not in found]
    if not missing and not problems:
        return
    text = f"{len(missing)} of {len(wanted)} utterances have no lattice"
    if missing:
        text += f": {' '.join(missing[:MOST_NAMED])}{' ...' if len(missing) > MOST_NAMED else ''}"
    if problems or len(missing) > max_missing * len(wanted):
        raise HdnnError(f"{where}: {'; '.join([text, *problems])}; {remedy}")
    log.warning("%s", text)
