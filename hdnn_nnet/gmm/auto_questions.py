"""Automatic questions: sets of phones that sound alike, by clustering their statistics (Kaldi's cluster-phones)."""

import logging
from collections.abc import Sequence

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.two_means import top_down
from hdnn_nnet.kaldi.tree import PDF_CLASS
from hdnn_nnet.kaldi.tree_stats import TreeStats

log = logging.getLogger(__name__)


def automatic_questions(
    stats: TreeStats, phone_sets: Sequence[Sequence[int]], central: int = 1, classes: Sequence[int] = (1,)
) -> list[list[int]]:
    """Sets of phones to ask about: clusters, those of the first splits in front, then `phone_sets` themselves.

    The cluster of all phones is left out, as by Kaldi.

    Args:
        phone_sets: phones that always stay together (`sets.int`).
        central: position of the state's own phone in the window.
        classes: pdf-classes that count; 1 is the middle of three states.

    Raises:
        HdnnError: the statistics contain none of the phones in these pdf-classes.
    """
    sets = [sorted(row) for row in phone_sets]
    used = stats.select(np.isin(stats.values(PDF_CLASS), list(classes)))
    phones = used.values(central)
    points = np.stack([used.moments[np.isin(phones, row)].sum(axis=0) for row in sets])
    silent = [row for row, point in zip(sets, points, strict=True) if point[0] == 0]
    if len(silent) == len(sets):
        raise HdnnError(f"no phone has statistics in the pdf-classes {list(classes)}; do tree statistics and lang fit?")
    if silent:
        log.warning("no data for the phones %s", " ".join(str(phone) for row in silent for phone in row))
    tree = top_down(points, stats.var_floor)[:-1]
    clusters = [sorted(p for index in indexes for p in sets[index]) for indexes in tree]
    unique = dict.fromkeys(tuple(row) for row in [*reversed(clusters), *sets])
    return [list(row) for row in unique if row]
