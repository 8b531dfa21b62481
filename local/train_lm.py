"""N-gram language model in ARPA format: Kneser-Ney on one or several texts, mixed by weights tuned on dev, pruned.

A text is Kaldi's `text` (its first column is dropped) if its file is named so, else one sentence a line, `.gz` or not.
"""

import gzip
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from backoff_lm import BOS, EOS, BackoffModel, kneser_ney, mixture, mixture_weights, prune, score, write_arpa
from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError


def read_sentences(path: Path) -> Iterator[list[str]]:
    """Words of each line that has any."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as lines:
            for line in lines:
                words = line.split()[1:] if path.name == "text" else line.split()
                if words:
                    yield words
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise HdnnError(f"{path}: cannot read it as text ({error})") from error


def read_vocabulary(path: Path) -> set[str]:
    """First word of every line: a word list, a lexicon.txt or a words.txt."""
    try:
        words = {line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.split()}
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    return words - {"<eps>", "#0", BOS, EOS}


def report(name: str, model: BackoffModel, texts: dict[str, Path], oov: str) -> list[str]:
    """A line a text: perplexity and share of words outside the vocabulary."""
    lines = []
    for label, path in texts.items():
        result = score(model, read_sentences(path), oov)
        lines.append(
            f"{name}: {label}: perplexity {result.perplexity():.2f}, OOV {result.oov_rate():.2f} % "
            f"({result.oov} of {result.words} words, {result.sentences} sentences)"
        )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Write `<out-dir>/lm.arpa.gz` and, with `--prune`, `lm_pruned.arpa.gz`; perplexities go to stdout and a file."""
    parser = OptionParser("train_lm.py", __doc__.split("\n")[0])
    parser.add_argument("--order", type=int, default=3, help="1 gives a unigram model")
    parser.add_argument("--prune", type=float, default=0.0, help="relative change of perplexity; 0: do not prune")
    parser.add_argument("--vocab", type=Path, help="close the vocabulary over this word list, lexicon or words.txt")
    parser.add_argument("--oov", default="<unk>", help="stands for words outside the vocabulary")
    parser.add_argument("--test", type=Path, action="append", default=[], help="another text to measure; may repeat")
    parser.add_argument("dev", type=Path, help="text that tunes the mixture weights and is measured")
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("texts", type=Path, nargs="+", help="training texts")
    args = parser.parse_args(argv)
    if not 1 <= args.order <= 5:
        parser.error("--order must be 1 to 5")

    if args.vocab:
        vocabulary = read_vocabulary(args.vocab)
    else:
        vocabulary = {word for path in args.texts for sentence in read_sentences(path) for word in sentence}
    vocabulary |= {args.oov}

    models = []
    for path in args.texts:
        sentences = ([w if w in vocabulary else args.oov for w in words] for words in read_sentences(path))
        models.append(kneser_ney(sentences, args.order, vocabulary))
        logging.info("%s: n-grams %s", path, " ".join(map(str, models[-1].counts())))
    labels = {"dev": args.dev, **{str(path): path for path in args.test}}
    lines: list[str] = [f"vocabulary: {len(vocabulary)} words"]
    model = models[0]
    if len(models) > 1:
        for path, single in zip(args.texts, models, strict=True):
            lines += report(str(path), single, labels, args.oov)
        weights = mixture_weights(models, read_sentences(args.dev), args.oov)
        pairs = zip(args.texts, weights, strict=True)
        lines.append("weights: " + ", ".join(f"{path} {weight:.4f}" for path, weight in pairs))
        model = mixture(models, weights)
    lines += report("lm.arpa.gz", model, labels, args.oov)
    write_arpa(model, args.out_dir / "lm.arpa.gz")
    counts = f"n-grams: lm.arpa.gz {' '.join(map(str, model.counts()))}"
    pruned = args.out_dir / "lm_pruned.arpa.gz"
    if args.prune > 0.0 and args.order > 1:
        model = prune(model, args.prune)
        write_arpa(model, pruned)
        lines += report("lm_pruned.arpa.gz", model, labels, args.oov)
        counts += f"; lm_pruned.arpa.gz {' '.join(map(str, model.counts()))}"
    else:
        pruned.unlink(missing_ok=True)
    text = "\n".join([*lines, counts]) + "\n"
    write_text(args.out_dir / "perplexity.txt", text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    run(main, "train_lm.py")
