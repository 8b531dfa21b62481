"""Turn an ARPA language model into G.fst and put it, with a copy of the lang directory, where decoding looks for it."""

import gzip
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backoff_lm import read_arpa
from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError


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
                kaldilm.arpa2fst(
                    input_arpa=str(plain),
                    output_fst=str(temporary),
                    disambig_symbol="#0",
                    read_symbol_table=str(words),
                    max_arpa_warnings=0,
                )
            except RuntimeError as error:
                raise HdnnError(f"{arpa}: cannot be made into G.fst ({' '.join(str(error).split())})") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Copy `<lang-dir>` to `<out-lang-dir>` and add G.fst."""
    parser = OptionParser("format_lm.py", __doc__)
    parser.add_argument("lang_dir", type=Path)
    parser.add_argument("arpa", type=Path, help=".arpa or .arpa.gz")
    parser.add_argument("out_lang_dir", type=Path)
    args = parser.parse_args(argv)
    words = args.lang_dir / "words.txt"
    if not words.exists():
        raise HdnnError(f"{words} does not exist; run local/prepare_lang.py")

    model = read_arpa(args.arpa)  # also finds truncated files, which arpa2fst would report less plainly
    known = {line.split()[0] for line in words.read_text(encoding="utf-8").splitlines()}
    lost = model.words() - known - {"</s>"}
    if len(lost) == len(model.words()) - 1:
        raise HdnnError(f"{args.arpa} and {words} have no word in common")
    if args.lang_dir.resolve() != args.out_lang_dir.resolve():
        shutil.copytree(args.lang_dir, args.out_lang_dir, dirs_exist_ok=True)
    make_grammar(args.arpa, words, args.out_lang_dir / "G.fst")
    logging.info(
        "%s/G.fst: n-grams %s; %d words of the model are not in words.txt; %d words of words.txt are not in the model",
        args.out_lang_dir,
        " ".join(map(str, model.counts())),
        len(lost),
        len(known - model.words() - {"<eps>", "#0", "<s>", "</s>"}),
    )
    return 0


if __name__ == "__main__":
    run(main, "format_lm.py")
