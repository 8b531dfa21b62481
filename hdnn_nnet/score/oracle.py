"""Oracle word error rates: what the best choice of paths through lattices could reach."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.lattice.info import LatticeInfo, describe
from hdnn_nnet.lattice.oracle import Oracle, oracle
from hdnn_nnet.lattice.types import AnyLattice

log = logging.getLogger(__name__)

_NO_WORD = -1  # equals no word of a lattice


@dataclass(frozen=True)
class OracleScore:
    """One utterance: its path nearest to the reference, the number of reference words, and the lattice's sizes."""

    key: str
    path: Oracle
    words: int
    info: LatticeInfo


class OracleScorer:
    """Looks for the paths nearest to references.

    Args:
        reference: utterance -> words.
        symbols: the lattices' words.txt.
        ignored: words that count neither in the lattice nor in the reference.
        oov: word of the lattices that a reference word outside `symbols` counts as; empty: none, it is always an error.

    Attributes:
        without_path, without_reference: keys of lattices that were left out.

    Raises:
        HdnnError: `oov` is not in `symbols`.
    """

    def __init__(
        self, reference: Mapping[str, Sequence[str]], symbols: SymbolTable, ignored: Collection[str] = (), oov: str = ""
    ) -> None:
        self.reference, self.symbols = reference, symbols
        self.ignored = set(ignored)
        self.ignored_ids = [symbols[word] for word in self.ignored if word in symbols]
        self.unknown = symbols[oov] if oov else _NO_WORD
        self.without_path: list[str] = []
        self.without_reference: list[str] = []

    def scores(self, lattices: Iterable[tuple[str, AnyLattice]]) -> Iterator[OracleScore]:
        """Scores of the lattices that have a path and a reference; the others are warned about."""
        for key, lattice in lattices:
            if key not in self.reference:
                log.warning("utterance %s has no reference; left out", key)
                self.without_reference.append(key)
                continue
            words = [word for word in self.reference[key] if word not in self.ignored]
            wanted = [self.symbols.ids.get(word, self.unknown) for word in words]
            try:
                info = describe(lattice, f"utterance {key}")
                path = oracle(lattice, wanted, self.ignored_ids, f"utterance {key}")
            except HdnnError as error:
                log.warning("%s; left out", error)
                self.without_path.append(key)
                continue
            # Where the unknown word itself is ignored, references have fewer words.
            words_counted = sum(number not in self.ignored_ids for number in wanted)
            yield OracleScore(key, path, words_counted, info)
