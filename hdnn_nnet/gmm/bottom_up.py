"""Bottom-up clustering: merge the two clusters that lose least (Kaldi's ClusterBottomUp, and its form with compartments)."""

import heapq
import math
from collections.abc import Sequence

import numpy as np

from hdnn_nnet.gmm.objective import merge_costs

_Entry = tuple[float, int, int, int]  # cost, compartment, two clusters of it


class _Compartment:
    """Points that may be merged with one another. A cluster goes by the number of its last point."""

    def __init__(self, points: np.ndarray, floor: float) -> None:
        self.moments = points.copy()
        self.floor = floor
        self.alive = np.ones(len(points), dtype=bool)
        self.parent = np.arange(len(points))
        self.costs = np.full((len(points), len(points)), np.inf, dtype=np.float32)  # lower triangle

    def update(self, one: int, others: np.ndarray) -> list[tuple[float, int, int]]:
        """Compute the costs of merging `one` with `others`."""
        costs = merge_costs(self.moments[one], self.moments[others], self.floor)
        high, low = np.maximum(one, others), np.minimum(one, others)
        self.costs[high, low] = costs
        return list(zip(costs.tolist(), high.tolist(), low.tolist(), strict=True))

    def can_merge(self, cost: float, high: int, low: int) -> bool:
        """Both exist, and the cost is not of an earlier state."""
        if not (self.alive[high] and self.alive[low]):
            return False
        return abs(float(self.costs[high, low]) - cost) <= 1.0e-5 * abs(cost)

    def merge(self, high: int, low: int) -> list[tuple[float, int, int]]:
        """Put `low` into `high`; the costs that change."""
        self.moments[high] += self.moments[low]
        self.alive[low] = False
        self.parent[low] = high
        others = np.flatnonzero(self.alive)
        return self.update(high, others[others != high])

    def clusters(self) -> np.ndarray:
        """The cluster of each point, numbered from 0 in the order of their numbers."""
        roots = np.arange(len(self.parent))
        while (self.parent[roots] != roots).any():
            roots = self.parent[roots]
        return np.unique(roots, return_inverse=True)[1]


def cluster_bottom_up(
    compartments: Sequence[np.ndarray],
    floor: float,
    threshold: float = math.inf,
    least: int = 0,
    inclusive: bool = False,
) -> list[np.ndarray]:
    """Merge clusters while a merge costs less than `threshold` and more than `least` clusters are left in all.

    Args:
        compartments: points, each float64, shape (n, 1 + 2 D), as in TreeStats; only points of one are merged.
        floor: of variances.
        inclusive: a pair of points that costs exactly `threshold` is merged, too.

    Returns:
        For each compartment the cluster of each point, int64, shape (n,), numbered from 0 in the order of Kaldi's.
    """
    pools = [_Compartment(points, floor) for points in compartments]
    queue: list[_Entry] = []
    for number, pool in enumerate(pools):
        for one in range(1, len(pool.moments)):
            for cost, high, low in pool.update(one, np.arange(one)):
                if cost < threshold or (inclusive and cost == threshold):
                    queue.append((cost, number, high, low))
    heapq.heapify(queue)
    left = sum(len(pool.moments) for pool in pools)
    while left > least and queue:
        cost, number, high, low = heapq.heappop(queue)
        if pools[number].can_merge(cost, high, low):
            for entry in pools[number].merge(high, low):
                if entry[0] < threshold:
                    heapq.heappush(queue, (entry[0], number, *entry[1:]))
            left -= 1
    return [pool.clusters() for pool in pools]
