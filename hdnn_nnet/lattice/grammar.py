"""The costs of word sequences under a G.fst, for composing it with lattices on demand."""

from dataclasses import dataclass, field

import numpy as np

from hdnn_nnet.kaldi.fst import Fst

_Weights = tuple[tuple[int, float], ...]  # states of G and their costs above the best one
_DIGITS = 5  # residual costs that differ by less are one state


@dataclass
class Grammar:
    """G.fst made deterministic while it is read: the cost of a sequence is that of its best path, back-off arcs being epsilons.

    This is the reading of Kaldi's lattice-lmrescore (with G projected to its output), and of a decoder: a back-off path counts
    even where an explicit n-gram is there, if it is cheaper. States are numbers; 0 is the start.

    Args:
        fst: output labels are words, 0 (on back-off arcs) is epsilon.
    """

    fst: Fst
    _states: list[_Weights] = field(default_factory=list)
    _numbers: dict[_Weights, int] = field(default_factory=dict)
    _steps: dict[tuple[int, int], tuple[float, int] | None] = field(default_factory=dict)
    _finals: dict[int, float] = field(default_factory=dict)
    _closures: dict[int, dict[int, float]] = field(default_factory=dict)
    _arcs: dict[int, tuple[dict[int, list[tuple[float, int]]], list[tuple[float, int]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._number({self.fst.start: 0.0})

    def step(self, state: int, word: int) -> tuple[float, int] | None:
        """Cost of the word and the state after it; None where no path has it. Epsilon costs nothing and stays."""
        if not word:
            return 0.0, state
        key = state, word
        if key not in self._steps:
            ahead: dict[int, float] = {}
            for place, spent in self._closure(state).items():
                for cost, target in self._arcs_of(place)[0].get(word, ()):
                    if spent + cost < ahead.get(target, np.inf):
                        ahead[target] = spent + cost
            best = min(ahead.values(), default=np.inf)
            self._steps[key] = (best, self._number({s: c - best for s, c in ahead.items()})) if ahead else None
        return self._steps[key]

    def final(self, state: int) -> float:
        """Cost of ending; infinity where no path ends."""
        if state not in self._finals:
            ends = (spent + float(self.fst.final[place]) for place, spent in self._closure(state).items())
            self._finals[state] = min(ends, default=np.inf)
        return self._finals[state]

    def _number(self, weights: dict[int, float]) -> int:
        key = tuple(sorted((state, round(cost, _DIGITS)) for state, cost in weights.items()))
        if key not in self._numbers:
            self._numbers[key] = len(self._states)
            self._states.append(key)
        return self._numbers[key]

    def _closure(self, state: int) -> dict[int, float]:
        """Everything that epsilons reach, by its lowest cost; a back-off may have a negative one."""
        if state not in self._closures:
            costs = dict(self._states[state])
            waiting = list(costs)
            while waiting:
                place = waiting.pop()
                for cost, target in self._arcs_of(place)[1]:
                    if costs[place] + cost < costs.get(target, np.inf) - 1e-9:
                        costs[target] = costs[place] + cost
                        waiting.append(target)
            self._closures[state] = costs
        return self._closures[state]

    def _arcs_of(self, place: int) -> tuple[dict[int, list[tuple[float, int]]], list[tuple[float, int]]]:
        """Arcs of a state of G: by word, and the epsilons."""
        if place not in self._arcs:
            words: dict[int, list[tuple[float, int]]] = {}
            epsilons = []
            for arc in self.fst.arcs[self.fst.offsets[place] : self.fst.offsets[place + 1]].tolist():
                _, label, weight, target = arc
                if not label:
                    epsilons.append((weight, target))
                else:
                    words.setdefault(label, []).append((weight, target))
            self._arcs[place] = words, epsilons
        return self._arcs[place]
