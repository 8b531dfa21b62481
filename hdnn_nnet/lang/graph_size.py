"""How large a decoding graph will be, from the language model and the lexicon alone, before it is built."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import Fst, read_fst
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.lang.ngram import BackoffModel, prune
from hdnn_nnet.text import words

log = logging.getLogger(__name__)

Prons = Mapping[str, Sequence[Sequence[str]]]

#: HCLG.fst on disk for each phone of determinised LG: 141 with mono and 145 with tri4a of the mini corpus
BYTES_A_PHONE = 145
_THRESHOLDS = [mantissa * 10.0**exponent for exponent in range(-9, -3) for mantissa in (1, 2, 5)]


def read_prons(path: Path) -> dict[str, list[list[str]]]:
    """Word -> pronunciations, of a lexicon.txt (`word phones`) or of a lang's phones/align_lexicon.txt (`word word phones`).

    Raises:
        HdnnError: missing file.
    """
    first = 2 if path.name == "align_lexicon.txt" else 1
    prons: dict[str, list[list[str]]] = {}
    for fields in map(words, read_lines(path)):
        if fields:
            prons.setdefault(fields[0], []).append(fields[first:])
    return prons


def shared_prefixes(words: Iterable[str], prons: Prons) -> int:
    """Nodes of the tree of the words' pronunciations: what determinisation leaves of L after one history."""
    spelled = sorted(tuple(pron) for word in words for pron in prons.get(word, ()))
    nodes = 0
    before: tuple[str, ...] = ()
    for pron in spelled:
        same = 0
        for one, other in zip(before, pron, strict=False):
            if one != other:
                break
            same += 1
        nodes += max(1, len(pron) - same)  # words that sound alike differ in a disambiguation symbol
        before = pron
    return nodes


def phones_of_model(model: BackoffModel, prons: Prons) -> int:
    """Phones on the arcs of L composed with G and determinised, and back-off arcs, over all histories."""
    follow = (words for length in range(model.order) for words in model.histories(length).values())
    return sum(1 + shared_prefixes(words, prons) for words in follow)


def _words_by_state(grammar: Fst, symbols: SymbolTable) -> Iterator[list[str]]:
    labels = grammar.arcs["olabel"]
    for begin, end in zip(grammar.offsets[:-1].tolist(), grammar.offsets[1:].tolist(), strict=True):
        yield [symbols.symbol(label) for label in labels[begin:end].tolist() if label]


def phones_of_lang(lang: Path) -> int:
    """The same of a lang directory with G.fst; 0 where it has no phones/align_lexicon.txt."""
    lexicon = lang / "phones/align_lexicon.txt"
    if not lexicon.is_file():
        return 0
    prons, symbols = read_prons(lexicon), SymbolTable.read(lang / "words.txt")
    return sum(1 + shared_prefixes(words, prons) for words in _words_by_state(read_fst(lang / "G.fst"), symbols))


def megabytes(phones: int) -> float:
    """Size of HCLG.fst."""
    return phones * BYTES_A_PHONE / 1e6


def prune_to_size(model: BackoffModel, prons: Prons, limit: float) -> tuple[BackoffModel, float, float]:
    """The model pruned by the lowest threshold (1, 2 or 5 x 10^n) that gives a graph of at most `limit` MB.

    Returns:
        The model, the threshold (0 where it is small enough as it is), and the size of its graph in MB.

    Raises:
        HdnnError: even the highest threshold gives a larger graph.
    """

    def size_of(candidate: BackoffModel, how: str) -> float:
        size = megabytes(phones_of_model(candidate, prons))
        log.info("%s: n-grams %s, a graph of about %.0f MB", how, " ".join(map(str, candidate.counts())), size)
        return size

    size = size_of(model, "not pruned")
    if size <= limit:
        return model, 0.0, size
    best: tuple[BackoffModel, float, float] | None = None
    low, high = 0, len(_THRESHOLDS)
    while low < high:  # the lowest one that is enough lies in [low, high)
        middle = (low + high) // 2
        candidate = prune(model, _THRESHOLDS[middle])
        size = size_of(candidate, f"pruned by {_THRESHOLDS[middle]:g}")
        if size <= limit:
            best, high = (candidate, _THRESHOLDS[middle], size), middle
        else:
            low = middle + 1
    if best is None:
        raise HdnnError(
            f"even the smallest model makes a graph of {size:.0f} MB; allow more than {limit:g} MB, or fewer words"
        )
    return best
