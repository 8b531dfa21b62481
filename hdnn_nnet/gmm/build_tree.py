"""Decision trees from statistics, questions and roots (Kaldi's build-tree)."""

import itertools
import logging
from collections.abc import Iterator, Sequence

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.bottom_up import cluster_bottom_up
from hdnn_nnet.gmm.split_tree import grow_tree
from hdnn_nnet.kaldi.event_maps import answers, look_up, renumber, replace_leaves
from hdnn_nnet.kaldi.questions import Questions
from hdnn_nnet.kaldi.roots import Root
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.tree import PDF_CLASS, ConstantMap, ContextDependency, EventMap, SplitMap, TableMap
from hdnn_nnet.kaldi.tree_stats import TreeStats

log = logging.getLogger(__name__)

THRESHOLD = 300.0  # build-tree's default for --thresh


def build_tree(
    stats: TreeStats,
    roots: Sequence[Root],
    questions: Questions,
    topology: HmmTopology,
    *,
    max_leaves: int = 0,
    threshold: float = THRESHOLD,
    cluster_threshold: float = -1.0,
    round_leaves: bool = True,
    central: int = 1,
) -> ContextDependency:
    """Build a tree.

    Args:
        max_leaves: leaves before clustering, at most; 0: no limit.
        threshold: gain of log-likelihood that a split must exceed.
        cluster_threshold: leaves of a root are merged where that loses at most this much log-likelihood; 0: none are;
            negative: the gain of the weakest split.
        round_leaves: merge on to a multiple of 8 leaves.
        central: position of the state's own phone in the window.

    Raises:
        HdnnError: roots, topology and statistics of different phones.
    """
    _check_phones(stats, roots, topology, central)
    counter = itertools.count()
    stub = stub_map(roots, topology, counter, central)
    leaves = next(counter)
    fixed = [phone for root in roots if not root.split for phone in root.phones]
    grown = grow_tree(
        stub, leaves, stats.select(~np.isin(stats.values(central), fixed)), questions, max_leaves, threshold
    )
    log.info(
        "tree: %d roots, %d leaves, log-likelihood %.4f higher a frame over %d frames",
        leaves, grown.leaves, grown.gain / stats.frames, stats.frames,
    )  # fmt: skip
    tree, left = grown.to_pdf, grown.leaves
    if cluster_threshold != 0.0:
        limit = grown.smallest if cluster_threshold < 0 else cluster_threshold
        tree, merged = _merge_leaves(tree, stub, stats, limit)
        left -= merged
        log.info("tree: %d leaves merged that differ by less than %g", merged, limit)
    if round_leaves:
        tree = _round_leaves(tree, stub, stats, left // 8 * 8)
    if round_leaves or cluster_threshold != 0.0:
        tree = renumber(tree)
    return ContextDependency(stats.context_width, central, tree)


def _check_phones(stats: TreeStats, roots: Sequence[Root], topology: HmmTopology, central: int) -> None:
    listed = {phone for root in roots for phone in root.phones}
    seen = {int(phone) for phone in np.unique(stats.values(central))}
    if seen - listed:
        raise HdnnError(f"phone {min(seen - listed)} has statistics, but no root; take roots.int of the same phones")
    if listed != set(topology.phones):
        odd = min(listed ^ set(topology.phones))
        raise HdnnError(f"phone {odd} is in only one of roots.int and topo; make the lang directory again")
    for root in roots:
        if not seen.intersection(root.phones):
            log.warning("no data for the phones %s", " ".join(map(str, root.phones)))
    lonely = sorted(phone for root in roots if seen & set(root.phones) for phone in set(root.phones) - seen)
    if lonely:
        log.warning("no data for the phones %s, which share a root with others", " ".join(map(str, lonely)))


def stub_map(roots: Sequence[Root], topology: HmmTopology, leaves: Iterator[int], central: int = 1) -> EventMap:
    """The tree before any question of context: a leaf for each root, or for each pdf-class of one that is not shared."""
    if len(roots) == 1:
        if roots[0].shared:
            return ConstantMap(next(leaves))
        count = max(topology.num_pdf_classes(phone) for phone in roots[0].phones)
        return TableMap(PDF_CLASS, tuple(ConstantMap(next(leaves)) for _ in range(count)))
    if all(len(root.phones) == 1 for root in roots):
        table: list[EventMap | None] = [None] * (max(root.phones[0] for root in roots) + 1)
        for root in roots:
            table[root.phones[0]] = stub_map([root], topology, leaves, central)
        return TableMap(central, tuple(table))
    half = len(roots) // 2
    first = tuple(sorted(phone for root in roots[:half] for phone in root.phones))
    yes = stub_map(roots[:half], topology, leaves, central)
    return SplitMap(central, first, yes, stub_map(roots[half:], topology, leaves, central))


def _leaf_points(tree: EventMap, stub: EventMap, stats: TreeStats) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each leaf of the stub: the leaves of the tree there that have statistics, (n,), and those, (n, 1 + 2 D)."""
    roots, leaves = look_up(stub, stats.events), look_up(tree, stats.events)
    found = []
    for root in range(int(roots.max()) + 1):
        rows = np.flatnonzero(roots == root)
        rows = rows[np.argsort(leaves[rows], kind="stable")]
        names, starts = np.unique(leaves[rows], return_index=True)
        points = np.add.reduceat(stats.moments[rows], starts) if len(rows) else np.zeros((0, stats.moments.shape[1]))
        found.append((names, points))
    return found


def _merged(names: np.ndarray, clusters: np.ndarray) -> dict[int, EventMap]:
    """Leaf -> the leaf that it becomes. The cluster's number picks the new leaf among the old ones, as in Kaldi."""
    return {int(name): ConstantMap(int(names[cluster])) for name, cluster in zip(names, clusters, strict=True)}


def _merge_leaves(tree: EventMap, stub: EventMap, stats: TreeStats, threshold: float) -> tuple[EventMap, int]:
    """Merge leaves of the same root while a merge loses at most `threshold`; how many were lost."""
    leaves: dict[int, EventMap] = {}
    merged = 0
    for names, points in _leaf_points(tree, stub, stats):
        if len(names):
            (clusters,) = cluster_bottom_up([points], stats.var_floor, threshold, inclusive=True)
            leaves |= _merged(names, clusters)
            merged += len(names) - len(np.unique(clusters))
    return replace_leaves(tree, leaves), merged


def _round_leaves(tree: EventMap, stub: EventMap, stats: TreeStats, wanted: int) -> EventMap:
    """Merge the cheapest leaves of the same root until `wanted` are left."""
    found = _leaf_points(tree, stub, stats)
    least = wanted - sum(len(names) == 0 for names, _ in found)
    if wanted < len(found) or least > sum(len(names) for names, _ in found):
        log.warning("the tree keeps %d leaves: no multiple of 8 fits its roots", len(answers(tree)))
        return tree
    clusters = cluster_bottom_up([points for _, points in found], stats.var_floor, least=least)
    leaves: dict[int, EventMap] = {}
    for (names, _), own in zip(found, clusters, strict=True):
        leaves |= _merged(names, own)
    return replace_leaves(tree, leaves)
