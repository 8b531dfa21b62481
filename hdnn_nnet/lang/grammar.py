"""Turn an ARPA language model into G.fst and put it, with a copy of the lang directory, where decoding looks for it."""

import gzip
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hdnn_nnet.atomic import atomic_path, copy_file
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import read_fst
from hdnn_nnet.lang.ngram import read_arpa

log = logging.getLogger(__name__)


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


def make_grammar(arpa: Path, words: Path, out: Path) -> None:
    """Write G.fst as Kaldi's `arpa2fst --disambig-symbol=#0 --read-symbol-table=words.txt` does.

    `#0` is on the back-off arcs' input, `<s>` and `</s>` are epsilons, arcs are sorted by input label. N-grams with
    words that words.txt lacks are left out.
    """
    import kaldilm

    plain = arpa
    with tempfile.TemporaryDirectory(prefix="lm.") as directory:
        if arpa.suffix == ".gz":
            plain = Path(directory) / "lm.arpa"
            with gzip.open(arpa, "rb") as source, open(plain, "wb") as target:
                shutil.copyfileobj(source, target)
        with atomic_path(out) as temporary:
            try:
                with _messages_to(out.parent / "arpa2fst.log"):
                    kaldilm.arpa2fst(
                        input_arpa=str(plain),
                        output_fst=str(temporary),
                        disambig_symbol="#0",
                        read_symbol_table=str(words),
                        max_arpa_warnings=0,
                    )
            except RuntimeError as error:
                raise HdnnError(f"{arpa}: cannot be made into G.fst ({' '.join(str(error).split())})") from error
            try:
                read_fst(temporary)  # the package does not say that the disk is full
            except HdnnError as error:
                raise HdnnError(f"{out}: cannot write it; is the disk full?") from error


def format_lm(lang: Path, arpa: Path, target: Path) -> None:
    """Copy a lang directory to `target` and add G.fst.

    Raises:
        HdnnError: a model that cannot be read, or that has no word of words.txt.
    """
    words = lang / "words.txt"
    if not words.exists():
        raise HdnnError(f"{words} does not exist; run hdnn lang prepare")

    model = read_arpa(arpa)  # also finds truncated files, which arpa2fst would report less plainly
    known = {line.split()[0] for line in words.read_text(encoding="utf-8").splitlines()}
    lost = model.words() - known - {"</s>"}
    if len(lost) == len(model.words()) - 1:
        raise HdnnError(f"{arpa} and {words} have no word in common")
    if lang.resolve() != target.resolve():
        for path in sorted(lang.rglob("*")):
            if path.is_file() and not path.name.startswith("."):  # locks, and what a killed job left
                copy_file(path, target / path.relative_to(lang))
    make_grammar(arpa, words, target / "G.fst")
    log.info(
        "%s/G.fst: n-grams %s; %d words of the model are not in words.txt; %d words of words.txt are not in the model",
        target,
        " ".join(map(str, model.counts())),
        len(lost),
        len(known - model.words() - {"<eps>", "#0", "<s>", "</s>"}),
    )
