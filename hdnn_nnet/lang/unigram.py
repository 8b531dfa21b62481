"""Unigram grammars of transcripts, for denominator lattices.

The grammar is that of Kaldi's make_unigram_grammar.pl: one state, an arc for every word of the transcripts, and the end of
an utterance as one more event.
"""

import filecmp
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import ARC, Fst, write_fst

GRAMMARS = ("G.fst", "G.carpa")  # of a lang directory for decoding; not taken over


def unigram_grammar(sentences: Iterable[Sequence[int]]) -> Fst:
    """The unigram grammar of sentences of word numbers, as an acceptor with one state; its probabilities sum to 1.

    Raises:
        HdnnError: no words at all.
    """
    counts: Counter[int] = Counter()
    ends = 0
    for words in sentences:
        counts.update(words)
        ends += 1
    if not counts:
        raise HdnnError("the transcripts hold no words; a grammar needs some")
    total = counts.total() + ends
    arcs = np.zeros(len(counts), ARC)
    arcs["ilabel"] = arcs["olabel"] = sorted(counts)
    arcs["weight"] = [-np.log(counts[word] / total) for word in sorted(counts)]
    final = np.array([-np.log(ends / total)], np.float32)
    return Fst(0, final, np.array([0, len(arcs)], np.int64), arcs)


def _put(new: Path, final: Path) -> None:
    """Let `new` take the place of `final` unless both hold the same."""
    if final.is_file() and filecmp.cmp(new, final, shallow=False):
        return
    with atomic_path(final) as temporary:
        shutil.copyfile(new, temporary)


def write_lang(lang: Path, target: Path, grammar: Fst) -> None:
    """Copy `lang` without its grammar to `target` and write `grammar` there; only what differs is touched."""
    if target.resolve() == lang.resolve():
        raise HdnnError(f"{target} is the lang directory itself; its G.fst would be overwritten")
    for path in sorted(lang.rglob("*")):
        name = path.relative_to(lang)
        if path.is_file() and str(name) not in GRAMMARS and target.resolve() not in path.resolve().parents:
            _put(path, target / name)
    with tempfile.TemporaryDirectory() as folder:
        write_fst(Path(folder) / "G.fst", grammar)
        _put(Path(folder) / "G.fst", target / "G.fst")
