"""N-gram language model in ARPA format: Kneser-Ney on one or several texts, mixed by weights tuned on dev, pruned.

A text is Kaldi's `text` (its first column is dropped) if its file is named so, else one sentence a line, `.gz` or not.
"""

import logging
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.lang.arpa import write_arpa
from hdnn_nnet.lang.graph_size import prune_to_size, read_prons
from hdnn_nnet.lang.ngram import BOS, EOS, BackoffModel, kneser_ney, mixture, mixture_weights, prune, score
from hdnn_nnet.lang.options import LmOptions
from hdnn_nnet.lang.sentences import read_sentences
from hdnn_nnet.text import first_word

log = logging.getLogger(__name__)


def read_vocabulary(path: Path) -> set[str]:
    """First word of every line: a word list, a lexicon.txt or a words.txt."""
    return {first_word(line)[0] for line in read_lines(path)} - {"", "<eps>", "#0", BOS, EOS}


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


def train_lm(options: LmOptions) -> str:
    """Write `<out-dir>/lm.arpa.gz` and, with `prune`, `lm_pruned.arpa.gz`; gives the perplexities as text.

    Raises:
        HdnnError: a text that cannot be read.
    """
    dev, out_dir, texts = Path(options.dev), Path(options.out_dir), [Path(text) for text in options.texts]
    if options.vocab:
        vocabulary = read_vocabulary(Path(options.vocab))
    else:
        vocabulary = {word for path in texts for sentence in read_sentences(path) for word in sentence}
    vocabulary |= {options.oov}

    if options.max_graph_mb and not options.vocab:
        raise HdnnError("--max-graph-mb needs a lexicon: --vocab lexicon.txt")

    models = []
    for path in texts:
        sentences = ([w if w in vocabulary else options.oov for w in words] for words in read_sentences(path))
        models.append(kneser_ney(sentences, options.order, vocabulary))
        log.info("%s: n-grams %s", path, " ".join(map(str, models[-1].counts())))
    labels = {"dev": dev, **{path: Path(path) for path in options.test}}
    lines: list[str] = [f"vocabulary: {len(vocabulary)} words"]
    model = models[0]
    if len(models) > 1:
        for path, single in zip(texts, models, strict=True):
            lines += report(str(path), single, labels, options.oov)
        weights = mixture_weights(models, read_sentences(dev), options.oov)
        pairs = zip(texts, weights, strict=True)
        lines.append("weights: " + ", ".join(f"{path} {weight:.4f}" for path, weight in pairs))
        model = mixture(models, weights)
    lines += report("lm.arpa.gz", model, labels, options.oov)
    write_arpa(model, out_dir / "lm.arpa.gz")
    counts = f"n-grams: lm.arpa.gz {' '.join(map(str, model.counts()))}"
    pruned = out_dir / "lm_pruned.arpa.gz"
    threshold = options.prune
    if options.max_graph_mb:
        model, threshold, size = prune_to_size(model, read_prons(Path(options.vocab)), options.max_graph_mb)
        lines.append(
            f"pruned by {threshold:g} for a graph of about {size:.0f} MB"
            if threshold
            else f"graph: about {size:.0f} MB"
        )
    elif options.prune > 0.0 and options.order > 1:
        model = prune(model, options.prune)
    if threshold > 0.0 and options.order > 1:
        write_arpa(model, pruned)
        lines += report("lm_pruned.arpa.gz", model, labels, options.oov)
        counts += f"; lm_pruned.arpa.gz {' '.join(map(str, model.counts()))}"
    else:
        pruned.unlink(missing_ok=True)
    text = "\n".join([*lines, counts]) + "\n"
    write_text(out_dir / "perplexity.txt", text)
    return text
