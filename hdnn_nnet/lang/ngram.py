"""Back-off n-gram models in memory: Kneser-Ney, mixtures, pruning, perplexity.

kaldingram counts and discounts (ordinary Kneser-Ney, one discount an order) and prunes by entropy. What it leaves open
is done here: interpolation with lower orders, a share of the unigram mass for words of the vocabulary that the text
does not have, and mixtures of several models.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hdnn_nnet.errors import HdnnError

os.environ.setdefault("TQDM_DISABLE", "1")  # kaldingram draws a progress bar for each of its loops

BOS, EOS = "<s>", "</s>"
NEVER = -99.0  # log10 probability of <s>, which is only ever a history
Ngram = tuple[str, ...]


@dataclass
class BackoffModel:
    """An n-gram model with back-off; all numbers are log10.

    `prob[n-1]` maps n-grams of n words to their probability given the first n-1; `backoff` maps a history to its
    back-off weight (0 where absent). Every history of the model is an n-gram of it.
    """

    order: int
    prob: list[dict[Ngram, float]] = field(default_factory=list)
    backoff: dict[Ngram, float] = field(default_factory=dict)

    def log_prob(self, history: Ngram, word: str) -> float:
        """log10 p(word | history); the word must be in the vocabulary."""
        history = history[len(history) - self.order + 1 :] if len(history) >= self.order else history
        total = 0.0
        while True:
            found = self.prob[len(history)].get((*history, word))
            if found is not None:
                return total + found
            total += self.backoff.get(history, 0.0)
            history = history[1:]

    def words(self) -> set[str]:
        """Everything that can be predicted, `</s>` included and `<s>` not."""
        return {ngram[0] for ngram in self.prob[0]} - {BOS}

    def counts(self) -> list[int]:
        """Number of n-grams of each order."""
        return [len(table) for table in self.prob]

    def histories(self, length: int) -> dict[Ngram, list[str]]:
        """Histories of `length` words and the words that follow them explicitly."""
        table: dict[Ngram, list[str]] = {}
        for ngram in self.prob[length]:
            table.setdefault(ngram[:-1], []).append(ngram[-1])
        return table

    def renormalise(self) -> None:
        """Set every back-off weight so that the probabilities after its history sum to one.

        Where the lower order has (almost) nothing left for other words, the explicit probabilities are scaled instead.
        """
        self.backoff = {}
        for length in range(1, self.order):
            for history, words in self.histories(length).items():
                explicit = sum(10 ** self.prob[length][(*history, word)] for word in words)
                lower = sum(10 ** self.log_prob(history[1:], word) for word in words)
                if explicit >= 1.0 - 1e-9 or lower >= 1.0 - 1e-9:
                    shift = math.log10(explicit)
                    for word in words:
                        self.prob[length][(*history, word)] -= shift
                    self.backoff[history] = NEVER
                else:
                    self.backoff[history] = math.log10(1.0 - explicit) - math.log10(1.0 - lower)


def kneser_ney(sentences: Iterable[Sequence[str]], order: int, vocabulary: Iterable[str]) -> BackoffModel:
    """Interpolated Kneser-Ney model of `order`, with one absolute discount an order.

    Counts, discounts and discounted probabilities f(w|h) are kaldingram's. Then, from the shortest history up,
    p(w|h) = f(w|h) + b(h) p(w|h') where b(h) = 1 - sum of f(.|h) and h' is h without its first word; the shortest
    is interpolated with the uniform distribution over the vocabulary, so unseen words of it have a probability too.

    Args:
        sentences: lists of words, all in the vocabulary.
        order: 1 for a unigram model (of plain counts, absolutely discounted).
        vocabulary: the words that the model must know (`</s>` is added).
    """
    from kaldingram.train import NgramCounts

    counter = NgramCounts(order)
    empty = True
    for sentence in sentences:
        counter.add_raw_counts_from_line(" ".join(sentence))
        empty = False
    if empty:
        raise HdnnError("the training text of the language model has no sentences")
    counter.cal_discounting_constants()
    counter.cal_f()

    model = BackoffModel(order, [{} for _ in range(order)])
    # Unigrams: how many words each word follows (order 1: how often it occurs), <s> is never predicted.
    unigrams = counter.counts[0][()]
    count = {
        word: len(unigrams.word_to_context[word]) if order > 1 else unigrams.word_to_count[word]
        for word in unigrams.word_to_count
        if word != BOS
    }
    total = sum(count.values())
    times = Counter(count.values())
    discount = times[1] / (times[1] + 2 * times[2]) if times[1] else 0.5
    words = set(vocabulary) | count.keys() | {EOS}
    words.discard(BOS)
    uniform = discount * sum(c > 0 for c in count.values()) / total / len(words)
    for word in words:
        model.prob[0][(word,)] = math.log10(max(count.get(word, 0) - discount, 0.0) / total + uniform)
    model.prob[0][(BOS,)] = NEVER

    for length in range(1, order):
        for history, entry in counter.counts[length].items():
            rest = 1.0 - sum(entry.word_to_f.values())
            for word, f in entry.word_to_f.items():
                lower = 10 ** model.log_prob(history[1:], word)
                model.prob[length][(*history, word)] = math.log10(f + rest * lower)
            model.backoff[history] = math.log10(rest) if rest > 0.0 else NEVER
    return model


def mixture(models: Sequence[BackoffModel], weights: Sequence[float]) -> BackoffModel:
    """One back-off model over the union of the models' n-grams, with p = sum of weight times p of each model.

    Exact for every n-gram of the union; others back off with weights that make each history sum to one.
    All models must have the same vocabulary.
    """
    vocabulary = models[0].words()
    for model in models[1:]:
        if model.words() != vocabulary:
            raise HdnnError("language models with different vocabularies cannot be mixed; train them on one word list")
    order = max(model.order for model in models)
    mixed = BackoffModel(order, [{} for _ in range(order)])
    for length in range(order):
        union = {ngram for model in models if model.order > length for ngram in model.prob[length]}
        for ngram in union:
            probability = sum(
                weight * 10 ** model.log_prob(ngram[:-1], ngram[-1])
                for model, weight in zip(models, weights, strict=True)
            )
            mixed.prob[length][ngram] = NEVER if ngram == (BOS,) else math.log10(probability)
    mixed.renormalise()
    return mixed


def prune(model: BackoffModel, threshold: float) -> BackoffModel:
    """Entropy pruning (Stolcke 1998) by kaldingram: drop n-grams that raise the relative perplexity by less."""
    from kaldingram.prune import Arpa
    from kaldingram.prune import prune as kaldingram_prune

    arpa = Arpa()
    for order, count in enumerate(model.counts(), 1):
        arpa.add_count(order, count)
    for table in model.prob:
        for ngram, probability in table.items():
            arpa.add_entry(ngram, probability, model.backoff.get(ngram))
    kaldingram_prune(arpa, threshold, 1)
    pruned = BackoffModel(model.order, [{} for _ in range(model.order)])
    for length in range(model.order):
        for history, words in arpa._ngrams[length].items():
            for word, probability in words.items():
                pruned.prob[length][(*history, word)] = probability
    pruned.renormalise()
    return pruned


@dataclass
class Score:
    """What a text costs under a model. Words outside the vocabulary are not scored (but end a known history)."""

    sentences: int = 0
    words: int = 0
    oov: int = 0
    log10: float = 0.0

    def perplexity(self) -> float:
        """Per scored word, sentence ends counted as words."""
        return 10 ** (-self.log10 / max(1, self.words - self.oov + self.sentences))

    def oov_rate(self) -> float:
        """Per cent of running words."""
        return 100 * self.oov / max(1, self.words)


def events(sentence: Sequence[str], known: set[str], order: int, unknown: str) -> Iterable[tuple[Ngram, str]]:
    """History and word of everything to be predicted in a sentence; unknown words stand in histories as `unknown`."""
    words = [BOS, *(word if word in known else unknown for word in sentence), EOS]
    for position in range(1, len(words)):
        yield tuple(words[max(0, position - order + 1) : position]), words[position]


def score(model: BackoffModel, sentences: Iterable[Sequence[str]], unknown: str) -> Score:
    """Perplexity and out-of-vocabulary count of a text; `unknown` itself is never in the vocabulary of a text."""
    known = model.words() - {unknown}
    result = Score()
    for sentence in sentences:
        result.sentences += 1
        result.words += len(sentence)
        for history, word in events(sentence, known, model.order, unknown):
            if word == unknown:
                result.oov += 1
            else:
                result.log10 += model.log_prob(history, word)
    return result


def mixture_weights(
    models: Sequence[BackoffModel], sentences: Iterable[Sequence[str]], unknown: str, iterations: int = 100
) -> list[float]:
    """Weights of the mixture that give a held-out text the highest probability, by expectation maximisation."""
    import numpy as np

    known = set.intersection(*(model.words() for model in models)) - {unknown}
    order = max(model.order for model in models)
    rows = [
        [model.log_prob(history, word) for model in models]
        for sentence in sentences
        for history, word in events(sentence, known, order, unknown)
        if word != unknown
    ]
    if not rows:
        raise HdnnError("the text for the mixture weights is empty")
    probability = 10 ** np.array(rows)
    weights = np.full(len(models), 1 / len(models))
    for _ in range(iterations):
        posterior = probability * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        new = posterior.mean(axis=0)
        done = np.abs(new - weights).max() < 1e-6
        weights = new
        if done:
            break
    return weights.tolist()
