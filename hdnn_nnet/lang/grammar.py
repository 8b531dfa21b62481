"""Turn an ARPA language model into G.fst and put it, with a copy of the lang directory, where decoding looks for it."""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import atomic_path, copy_file
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import Fst, read_fst
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.text_file import read_lines, read_word
from hdnn_nnet.lang.arpa import read_arpa
from hdnn_nnet.lang.ngram import BOS, EOS, BackoffModel, Ngram
from hdnn_nnet.text import one_line, words

log = logging.getLogger(__name__)

BACKOFF = "#0"
_FEW = 0.5  # a warning if less than this share of the words of the one are in the other
_UNKNOWN = ("<unk>", "[unk]", "<oov>")


@contextmanager
def _messages_to(path: Path) -> Iterator[None]:
    """What a C++ library writes to the process's stderr goes to a file."""
    kept = os.dup(2)
    try:
        with path.open("wb") as log_file:
            os.dup2(log_file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def make_grammar(arpa: Path, table: SymbolTable, out: Path) -> Fst:
    """Write G.fst as Kaldi's `arpa2fst --disambig-symbol=#0 --read-symbol-table=words.txt` does, and give it.

    `#0` is on the back-off arcs' input, `<s>` and `</s>` are epsilons, arcs are sorted by input label. N-grams with
    words that words.txt lacks are left out.
    """
    import kaldilm

    with tempfile.TemporaryDirectory(prefix="lm.") as directory, atomic_path(out) as temporary:
        # kaldilm knows neither \\r nor gzip, and drops lines that it does not understand.
        with open(Path(directory) / "lm.arpa", "w", encoding="utf-8") as target:
            for line in read_lines(arpa):
                target.write(re.sub(r"\s*=\s*", "=", line) if line.startswith("ngram") else " ".join(words(line)))
                target.write("\n")
        table.write(Path(directory) / "words.txt")
        try:
            with _messages_to(out.parent / "arpa2fst.log"):
                kaldilm.arpa2fst(
                    input_arpa=f"{directory}/lm.arpa",
                    output_fst=str(temporary),
                    disambig_symbol=BACKOFF,
                    read_symbol_table=f"{directory}/words.txt",
                    max_arpa_warnings=0,
                )
        except RuntimeError as error:
            raise HdnnError(f"{arpa}: cannot be made into G.fst ({one_line(error)})") from error
        try:
            return read_fst(temporary)  # the package does not say that the disk is full
        except HdnnError as error:
            raise HdnnError(f"{out}: cannot write it; is the disk full?") from error


def format_lm(lang: Path, arpa: Path, target: Path) -> None:
    """Copy a lang directory to `target` and add G.fst.

    Raises:
        HdnnError: a model that cannot be read, that has no word of words.txt, or whose G.fst lacks n-grams or an end.
    """
    path = lang / "words.txt"
    if not path.exists():
        raise HdnnError(f"{path} does not exist; run hdnn lang prepare")
    table = SymbolTable.read(path)
    if BACKOFF not in table:
        raise HdnnError(f"{path} has no {BACKOFF}, which marks the back-off of the model; run hdnn lang prepare")
    model = read_arpa(arpa)
    oov = lang / "oov.txt"
    lost = _compare_words(model, arpa, table, path, read_word(oov) if oov.exists() else "")
    expected, odd = _expected_arcs(model, table)
    if odd:
        log.warning("%s: %d n-grams have a history that the model lacks, or <s> or </s> inside: left out", arpa, odd)
    if lang.resolve() != target.resolve():
        for path in sorted(lang.rglob("*")):
            if path.is_file() and not path.name.startswith("."):  # locks, and what a killed job left
                copy_file(path, target / path.relative_to(lang))
    grammar = make_grammar(arpa, table, target / "G.fst")
    try:
        _check(grammar, expected, table[BACKOFF], arpa)
    except HdnnError:
        (target / "G.fst").unlink()
        raise
    log.info(
        "%s/G.fst: n-grams %s; %d words of the model are not in words.txt; %d words of words.txt are not in the model",
        target,
        " ".join(map(str, model.counts())),
        lost,
        len(_spoken(table.ids) - model.words()),
    )


def _spoken(symbols: set[str] | dict[str, int]) -> set[str]:
    return {s for s in symbols if s not in ("<eps>", BOS, EOS) and not s.startswith("#")}


def _compare_words(model: BackoffModel, arpa: Path, table: SymbolTable, path: Path, oov: str) -> int:
    """Number of the model's words that words.txt lacks; raises if the two do not belong together."""
    vocabulary = model.words()
    for symbol in ("<eps>", BACKOFF):
        if symbol in vocabulary:
            raise HdnnError(f"{arpa} has {symbol} as a word; it has another meaning in graphs: remove it from the text")
    for symbol in (BOS, EOS):
        if (symbol,) not in model.prob[0]:
            raise HdnnError(f"{arpa} has no {symbol}; train it on sentences with their ends, as usual")
    ours, theirs = _spoken(table.ids), _spoken(vocabulary)
    common = {word for word in ours & theirs if word != oov and word.lower() not in _UNKNOWN}
    if not common:
        folded = {word.lower() for word in ours} & {word.lower() for word in theirs} - set(_UNKNOWN) - {oov.lower()}
        why = (
            "; they differ in the case of letters, change one"
            if folded
            else "; take the lexicon of the model's language"
        )
        raise HdnnError(f"{arpa} and {path} have no word in common{why}")
    for less, more, share in ((arpa, path, len(common) / len(theirs)), (path, arpa, len(common) / len(ours))):
        if share < _FEW:
            log.warning("only %.1f %% of the words of %s are in %s", 100 * share, less, more)
    return len(theirs - ours)


def _expected_arcs(model: BackoffModel, table: SymbolTable) -> tuple[int, int]:
    """How many arcs with words G must have, and the number of n-grams that have no place in it."""
    kept: set[Ngram] = {()}
    arcs = odd = 0
    for grams in model.prob:
        longer: set[Ngram] = set()
        for ngram in grams:
            if any(word not in table and word not in (BOS, EOS) for word in ngram):
                continue
            if ngram[:-1] not in kept or BOS in ngram[1:] or EOS in ngram[:-1]:
                odd += 1
                continue
            longer.add(ngram)
            arcs += ngram[-1] not in (BOS, EOS)
        kept = longer
    return arcs, odd


def _check(grammar: Fst, expected: int, backoff: int, arpa: Path) -> None:
    if grammar.start < 0 or not np.isfinite(grammar.final).any():
        raise HdnnError(f"{arpa}: its G.fst has no final state, no sentence could end; does the model know </s>?")
    found = int((grammar.arcs["ilabel"] != backoff).sum())
    if found != expected:
        raise HdnnError(f"{arpa}: G.fst has {found} n-grams instead of {expected}; look for odd words in the model")
