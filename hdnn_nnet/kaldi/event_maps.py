"""What can be done with the event maps of decision trees: new leaves, all answers, answers for many events at once."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hdnn_nnet.kaldi.tree import PDF_CLASS, ConstantMap, EventMap, SplitMap, TableMap


def replace_leaves(node: EventMap, leaves: Mapping[int, EventMap]) -> EventMap:
    """A copy in which the leaves named in `leaves` are replaced; the others stay."""
    if isinstance(node, ConstantMap):
        return leaves.get(node.answer, node)
    if isinstance(node, SplitMap):
        return SplitMap(node.key, node.yes_set, replace_leaves(node.yes, leaves), replace_leaves(node.no, leaves))
    return TableMap(node.key, tuple(None if n is None else replace_leaves(n, leaves) for n in node.table))


def answers(node: EventMap | None, known: Mapping[int, int] | None = None) -> set[int]:
    """All answers that are possible when only the keys in `known` have their values (Kaldi's MultiMap)."""
    return set(_answers(node, known or {}))


def _answers(node: EventMap | None, known: Mapping[int, int]) -> Iterator[int]:
    if node is None:
        return
    if isinstance(node, ConstantMap):
        yield node.answer
    elif isinstance(node, SplitMap):
        value = known.get(node.key)
        if value is None or value in node.members:
            yield from _answers(node.yes, known)
        if value is None or value not in node.members:
            yield from _answers(node.no, known)
    else:
        value = known.get(node.key)
        branches: Sequence[EventMap | None] = node.table
        if value is not None:
            branches = node.table[value : value + 1] if value >= 0 else ()
        for branch in branches:
            yield from _answers(branch, known)


def renumber(node: EventMap) -> EventMap:
    """The same map with its answers numbered from 0 on, in their order (Kaldi's RenumberEventMap)."""
    return replace_leaves(node, {old: ConstantMap(new) for new, old in enumerate(sorted(answers(node)))})


def look_up(node: EventMap, events: np.ndarray) -> np.ndarray:
    """Answers for many events at once.

    Args:
        events: integers, shape (R, 1 + N): pdf-class, then phones; negative where the event lacks the key.

    Returns:
        int64, shape (R,); -1 where there is no answer.
    """
    found = np.full(len(events), -1, dtype=np.int64)
    todo: list[tuple[EventMap | None, np.ndarray]] = [(node, np.arange(len(events)))]
    while todo:
        branch, rows = todo.pop()
        if branch is None or len(rows) == 0:
            continue
        if isinstance(branch, ConstantMap):
            found[rows] = branch.answer
            continue
        values = events[rows, branch.key - PDF_CLASS]
        if isinstance(branch, SplitMap):
            inside = np.isin(values, branch.yes_set)
            todo += [(branch.yes, rows[inside]), (branch.no, rows[~inside & (values >= 0)])]
        else:
            todo += [(branch.table[v], rows[values == v]) for v in np.unique(values) if 0 <= v < len(branch.table)]
    return found
