"""Top-down clustering in two, again and again: the sets of phones that automatic questions ask about.

The rules are those of Kaldi's TreeCluster, ClusterKMeans and RefineClusters with two clusters at a time; with the C
library's random numbers the same sets come out in the same order.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hdnn_nnet.gmm.objective import log_likelihood

TRIES = 10  # random starts for every split (Kaldi's slow but accurate setting for phones)
KMEANS_ITERS = 20
REFINE_ITERS = 100


class CRandom:
    """The sequence of rand() in the GNU C library, from its state at the start of a program (seed 1).

    r[i] = r[i - 3] + r[i - 31] modulo 2**32, without its lowest bit; the first 34 values come from a linear congruence.
    """

    def __init__(self, seed: int = 1) -> None:
        state = [seed]
        for _ in range(30):
            state.append(16807 * state[-1] % 2147483647)
        state += state[:3]
        for _ in range(310):
            state.append((state[-3] + state[-31]) & 0xFFFFFFFF)
        self._state = state[-31:]

    def __call__(self) -> int:
        """The next number, 0 to 2**31 - 1."""
        value = (self._state[-3] + self._state[-31]) & 0xFFFFFFFF
        self._state = [*self._state[1:], value]
        return value >> 1


class _Sides:
    """Two clusters of points, and what it gains to move a point to the other one.

    Likelihoods are kept until a cluster changes. Points without frames change none: rounding makes them move to and fro
    for as many rounds as there are, as it does in Kaldi.
    """

    def __init__(self, points: np.ndarray, sides: np.ndarray, floor: float) -> None:
        self.points = points
        self.sides = sides
        self.floor = floor
        self.clusters = np.stack([points[sides == side].sum(axis=0) for side in (0, 1)])
        self.likelihoods = log_likelihood(self.clusters, floor)
        self._empty = points[:, 0] == 0
        self._known: dict[int, tuple[np.float32, np.float32]] = {}

    def gain(self, point: int) -> np.float32:
        """Gain of log-likelihood if the point moves."""
        own, other = self.sides[point], 1 - self.sides[point]
        if self._empty[point]:
            joined, left = self.likelihoods[other], self.likelihoods[own]
        else:
            if point not in self._known:
                moments = self.points[point]
                changed = np.stack([self.clusters[other] + moments, self.clusters[own] - moments])
                joined, left = log_likelihood(changed, self.floor)
                self._known[point] = joined, left
            joined, left = self._known[point]
        return joined + left - self.likelihoods[other] - self.likelihoods[own]

    def move(self, point: int) -> None:
        """Move a point whose gain was asked for last."""
        own, other = self.sides[point], 1 - self.sides[point]
        self.sides[point] = other
        if not self._empty[point]:
            self.clusters[other] += self.points[point]
            self.clusters[own] -= self.points[point]
            self.likelihoods[[other, own]] = self._known[point]
            self._known = {}


def refine(points: np.ndarray, sides: np.ndarray, floor: float, iters: int = REFINE_ITERS) -> np.float32:
    """Move points to the other of two sides while the likelihood gains; changes `sides` in place.

    Args:
        points: float64, shape (n, 1 + 2 D).
        sides: integers, shape (n,), 0 or 1.
        iters: rounds over all points.

    Returns:
        The gain of log-likelihood.
    """
    state = _Sides(points, sides, floor)
    total = np.float32(0)
    for _ in range(iters):
        moved = False
        for point in range(len(points)):
            gain = state.gain(point)
            if gain > 0:
                total += gain
                moved = True
                state.move(point)
        if not moved:
            break
    return total


def two_means(points: np.ndarray, floor: float, random: CRandom) -> tuple[np.float32, np.ndarray]:
    """The best of several splits of points, (n, 1 + 2 D), in two; the gain of log-likelihood and sides, (n,)."""
    best: tuple[np.float32, np.ndarray] | None = None
    for _ in range(TRIES):
        sides = _random_sides(len(points), random)
        clusters = np.stack([points[sides == side].sum(axis=0) for side in (0, 1)])
        apart = log_likelihood(clusters, floor)
        gain = apart[0] + apart[1] - log_likelihood(clusters.sum(axis=0), floor)
        for _ in range(KMEANS_ITERS):
            better = refine(points, sides, floor)
            gain += better
            if better == 0:
                break
        if best is None or gain > best[0]:
            best = gain, sides
    assert best is not None
    return best


def _random_sides(count: int, random: CRandom) -> np.ndarray:
    """Points taken in steps of a random number that is coprime to their number, dealt out in turn."""
    step = 1 + random() % (count - 1)
    while math.gcd(step, count) != 1:
        step = (0 if step == count - 1 else step) + 1
    sides = np.zeros(count, dtype=np.int64)
    sides[np.arange(count) * step % count] = np.arange(count) % 2
    return sides


@dataclass
class _Node:
    points: np.ndarray  # indexes
    gain: float = 0.0
    sides: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def top_down(points: np.ndarray, floor: float, random: CRandom | None = None) -> list[Sequence[int]]:
    """Clusters of a binary tree over points, (n, 1 + 2 D): its leaves, then its inner nodes, the root last.

    The cluster that gains most is split next. Each cluster is a list of indexes of points.
    """
    random = random or CRandom()
    leaves: list[_Node] = []
    inner: list[_Node] = []
    queue: list[tuple[float, int, int]] = []

    def place(node: _Node, leaf: int | None) -> None:
        if leaf is None:
            leaf = len(leaves)
            leaves.append(node)
        leaves[leaf] = node
        if len(node.points) > 1:
            gain, node.sides = two_means(points[node.points], floor, random)
            node.gain = float(gain)
            if node.gain > 0:
                heapq.heappush(queue, (-node.gain, len(queue), leaf))

    place(_Node(np.arange(len(points))), None)
    while queue and len(leaves) < len(points):
        _, _, leaf = heapq.heappop(queue)
        node = leaves[leaf]
        inner.append(node)
        for side, where in ((0, leaf), (1, None)):
            place(_Node(node.points[node.sides == side]), where)
    return [node.points.tolist() for node in [*leaves, *reversed(inner)]]
