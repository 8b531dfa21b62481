"""Language models against brute force, kaldingram's own scorer and the paths of G.fst."""

import gzip
import itertools
import math
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.lang import arpa
from hdnn_nnet.lang import ngram as lm
from hdnn_nnet.lang import train_lm as train_lm

WORDS = ["a", "b", "c", "d", "e"]


def corpus(seed: int, sentences: int = 120, words: list[str] | None = None) -> list[list[str]]:
    """Sentences of a random first-order chain, so that trigram, bigram and unigram counts vary."""
    draw = random.Random(seed)
    words = words or WORDS
    follow = {word: draw.choices(words, k=3) for word in words}
    text = []
    for _ in range(sentences):
        sentence = [draw.choice(words)]
        while len(sentence) < 12 and draw.random() < 0.8:
            sentence.append(draw.choice(follow[sentence[-1]] if draw.random() < 0.7 else words))
        text.append(sentence)
    return text


def all_histories(model: lm.BackoffModel, words: list[str]) -> list[lm.Ngram]:
    longest = model.order - 1
    plain = [h for n in range(longest + 1) for h in itertools.product(words, repeat=n)]
    return plain + [(lm.BOS, *h) for h in plain if len(h) < longest]


def assert_normalised(model: lm.BackoffModel) -> None:
    words = sorted(model.words())
    for history in all_histories(model, [word for word in words if word != lm.EOS]):
        assert sum(10 ** model.log_prob(history, word) for word in words) == pytest.approx(1.0, abs=1e-5), history


def kneser_ney_by_hand(text: list[list[str]], vocabulary: set[str]):
    """Interpolated Kneser-Ney trigram from its definition: p(history, word), counting over the padded text."""
    padded = [[lm.BOS, *sentence, lm.EOS] for sentence in text]
    counts = [Counter(tuple(s[i : i + n]) for s in padded for i in range(len(s) - n + 1)) for n in (1, 2, 3)]
    left = [Counter(ngram[1:] for ngram in counts[n]) for n in (1, 2)]  # how many different words stand before

    def discount(table) -> float:
        times = Counter(table.values())
        assert times[1]
        return times[1] / (times[1] + 2 * times[2])

    # As SRILM and kaldingram: discounts of higher orders from plain counts; that of the unigrams from types.
    trigram_discount, bigram_discount = discount(counts[2]), discount(counts[1])
    types = {word[0]: count for word, count in left[0].items()}
    unigram_discount = discount(types)
    vocabulary = vocabulary | {lm.EOS}

    def unigram(word: str) -> float:
        total = sum(types.values())
        rest = unigram_discount * len(types) / total
        return max(types.get(word, 0) - unigram_discount, 0) / total + rest / len(vocabulary)

    def level(table, history, word, d, lower):
        seen = {g[-1]: c for g, c in table.items() if g[:-1] == history}
        if not seen:
            return lower
        total = sum(seen.values())
        return max(seen.get(word, 0) - d, 0) / total + sum(min(d, c) for c in seen.values()) / total * lower

    def probability(history: lm.Ngram, word: str) -> float:
        result = unigram(word)
        if history:
            # Nothing stands before <s>, so its successors keep plain counts.
            table = counts[1] if history[-1] == lm.BOS else left[1]
            result = level(table, history[-1:], word, bigram_discount, result)
        if len(history) == 2:
            result = level(counts[2], history, word, trigram_discount, result)
        return result

    return probability


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kneser_ney_is_the_definition(seed):
    words = [f"w{n}" for n in range(100)]  # enough for words that follow only one or two others
    text = corpus(seed, 60, words)
    vocabulary = {*words, "unseen", "<unk>"}
    model = lm.kneser_ney(text, 3, vocabulary)
    by_hand = kneser_ney_by_hand(text, vocabulary)
    for history in all_histories(model, [*words[:4], "unseen"]):
        for word in [*words, "unseen", lm.EOS]:
            assert 10 ** model.log_prob(history, word) == pytest.approx(by_hand(history, word), rel=1e-6), (
                history,
                word,
            )


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_sum_to_one(order):
    assert_normalised(lm.kneser_ney(corpus(4), order, {*WORDS, "unseen"}))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=5), min_size=1, max_size=8))
def test_tiny_texts_give_proper_models(text):
    """Counts of counts that give odd discounts must not break anything, pruning and mixing included."""
    model = lm.kneser_ney(text, 3, {"x", "y", "z", "w"})
    other = lm.kneser_ney([["z", "w"], ["w"]], 2, {"x", "y", "z", "w"})
    for candidate in (model, lm.mixture([model, other], [0.3, 0.7]), lm.prune(model, 1e-2)):
        assert_normalised(candidate)


def test_unigram_model_counts_words():
    model = lm.kneser_ney([["a", "a", "b"], ["a"]], 1, {"a", "b", "c"})
    p = {word: 10 ** model.log_prob((), word) for word in ("a", "b", "c", lm.EOS)}
    # Counts 3, 1, 0 and 2 ends; one word occurs once and one twice: discount 1 / (1 + 2) = 1/3.
    assert p["a"] == pytest.approx((3 - 1 / 3) / 6 + 1 / 6 / 4)
    assert p["b"] == pytest.approx((1 - 1 / 3) / 6 + 1 / 6 / 4)
    assert p["c"] == pytest.approx(1 / 6 / 4)
    assert sum(p.values()) == pytest.approx(1.0)


def test_mixture_is_exact_on_its_ngrams_and_normalised():
    vocabulary = {*WORDS, "unseen"}
    models = [lm.kneser_ney(corpus(seed), order, vocabulary) for seed, order in ((5, 3), (6, 3), (7, 2))]
    weights = [0.5, 0.3, 0.2]
    mixed = lm.mixture(models, weights)
    union = set().union(*(table.keys() for model in models for table in model.prob)) - {(lm.BOS,)}
    assert {ngram for table in mixed.prob for ngram in table} == union | {(lm.BOS,)}
    for ngram in union:
        expected = sum(w * 10 ** m.log_prob(ngram[:-1], ngram[-1]) for w, m in zip(weights, models, strict=True))
        assert 10 ** mixed.log_prob(ngram[:-1], ngram[-1]) == pytest.approx(expected, rel=1e-9)
    assert_normalised(mixed)


def test_mixture_needs_one_vocabulary():
    with pytest.raises(HdnnError, match="different vocabularies"):
        lm.mixture([lm.kneser_ney(corpus(1), 2, WORDS), lm.kneser_ney(corpus(1), 2, [*WORDS, "f"])], [0.5, 0.5])


def test_em_weights_are_the_best_on_a_grid():
    models = [lm.kneser_ney(corpus(seed), 3, WORDS) for seed in (8, 9)]
    dev = corpus(8, 40) + corpus(9, 13)
    weight = lm.mixture_weights(models, dev, "<unk>")[0]

    def cost(first: float) -> float:
        return -sum(
            math.log(first * 10 ** models[0].log_prob(h, w) + (1 - first) * 10 ** models[1].log_prob(h, w))
            for sentence in dev
            for h, w in lm.events(sentence, set(WORDS), 3, "<unk>")
        )

    best = min((n / 500 for n in range(1, 500)), key=cost)
    assert weight == pytest.approx(best, abs=0.004)
    assert 0.05 < weight < 0.95


def test_perplexity_agrees_with_kaldingram(tmp_path):
    from kaldingram.ppl import compute_ppl
    from kaldingram.prune import ArpaParser

    model = lm.kneser_ney(corpus(10), 3, WORDS)
    arpa.write_arpa(model, tmp_path / "lm.arpa")
    dev = corpus(11, 50)
    theirs = compute_ppl(ArpaParser().loadf(tmp_path / "lm.arpa")[0], [" ".join(sentence) for sentence in dev])
    ours = lm.score(model, dev, "<unk>")
    assert ours.perplexity() == pytest.approx(theirs["ppl"], rel=1e-4)
    assert (ours.words, ours.sentences, ours.oov) == (theirs["num_words"], theirs["num_sentences"], 0)


def test_oov_words_are_counted_and_not_scored():
    model = lm.kneser_ney(corpus(12), 2, {*WORDS, "<unk>"})
    clean, dirty = lm.score(model, [["a"]], "<unk>"), lm.score(model, [["a"], ["zebra", "<unk>"]], "<unk>")
    assert (dirty.words, dirty.oov, dirty.sentences) == (3, 2, 2)
    assert dirty.oov_rate() == pytest.approx(200 / 3)
    # Of the second sentence only its end is scored, after <unk>.
    assert dirty.log10 == pytest.approx(clean.log10 + model.log_prob(("<unk>",), lm.EOS))


def test_pruning_drops_what_changes_perplexity_least():
    """Each dropped trigram's relative change of perplexity, by summing over all words, is below the threshold."""
    model = lm.kneser_ney(corpus(13, 400), 3, WORDS)
    threshold = 2e-4
    pruned = lm.prune(model, threshold)
    words = sorted(model.words())
    dropped, kept = set(model.prob[2]) - set(pruned.prob[2]), set(pruned.prob[2])
    assert dropped
    assert kept

    def change(ngram: lm.Ngram) -> float:
        """Relative change of perplexity when this trigram alone is taken out (Stolcke 1998, eq. 3)."""
        history = ngram[:-1]
        without = lm.BackoffModel(3, [dict(table) for table in model.prob])
        del without.prob[2][ngram]
        without.backoff = dict(model.backoff)
        rest = {w for w in words if (*history, w) in without.prob[2]}
        explicit = sum(10 ** without.prob[2][(*history, w)] for w in rest)
        lower = sum(10 ** model.log_prob(history[1:], w) for w in rest)
        without.backoff[history] = math.log10((1 - explicit) / (1 - lower))
        # A sentence starts with probability 1; kaldingram and SRILM take that of </s> for it.
        first = model.log_prob((), lm.EOS if history[0] == lm.BOS else history[0])
        weight = 10 ** (first + model.log_prob(history[:1], history[1]))
        divergence = sum(
            10 ** model.log_prob(history, w) * (model.log_prob(history, w) - without.log_prob(history, w))
            for w in words
        )
        return 10 ** (weight * divergence) - 1

    assert max(map(change, dropped)) < threshold * (1 + 1e-6)
    assert min(map(change, kept)) > threshold * (1 - 1e-6)
    assert_normalised(pruned)


def test_arpa_round_trip_and_damage(tmp_path):
    model = lm.kneser_ney(corpus(14), 3, WORDS)
    path = tmp_path / "lm.arpa.gz"
    arpa.write_arpa(model, path)
    first = path.read_bytes()
    again = arpa.read_arpa(path)
    assert again.counts() == model.counts()
    for table, other in zip(model.prob, again.prob, strict=True):
        assert other == pytest.approx(table, abs=1e-6)
    arpa.write_arpa(model, path)
    assert path.read_bytes() == first  # same model, same bytes

    text = gzip.decompress(first).decode()
    for damaged, message in (
        (text[: len(text) // 2], "not in ARPA"),
        (text.replace("\\end\\", ""), "truncated"),
        (text.replace("ngram 2=", "ngram 2=1"), "announces"),
        (text.replace("1-grams:\n-", "1-grams:\nx"), "not in ARPA"),
        ("", "no `ngram 1=N`"),
    ):
        (tmp_path / "bad.arpa").write_text(damaged)
        with pytest.raises(HdnnError, match=message):
            arpa.read_arpa(tmp_path / "bad.arpa")
    path.write_bytes(first[: len(first) // 2])
    with pytest.raises(HdnnError, match="truncated gzip"):
        arpa.read_arpa(path)


def write_text_file(path: Path, text: list[list[str]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"utt-{n} {' '.join(sentence)}\n" for n, sentence in enumerate(text)))
    return path


def test_train_lm_program(tmp_path, capsys):
    train, other = write_text_file(tmp_path / "train" / "text", corpus(15)), tmp_path / "other.txt"
    other.write_text("".join(" ".join(sentence) + "\n" for sentence in corpus(16)))
    dev = write_text_file(tmp_path / "dev" / "text", [*corpus(15, 30), ["zebra", "cmu"]])
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("<unk> oov\na AH\nb B\nc K\nd D\ncmu S\n")  # e is not in it, cmu is in no text
    out = tmp_path / "lm"
    argv = [
        "--prune",
        "1e-4",
        "--vocab",
        str(lexicon),
        "--test",
        str(other),
        str(dev),
        str(out),
        str(train),
        str(other),
    ]
    assert call("lang train-lm", argv) == 0
    text = (out / "perplexity.txt").read_text()
    assert text == capsys.readouterr().out
    model = arpa.read_arpa(out / "lm.arpa.gz")
    assert model.words() == {"a", "b", "c", "d", "cmu", "<unk>", lm.EOS}
    pruned = arpa.read_arpa(out / "lm_pruned.arpa.gz")
    assert sum(pruned.counts()) < sum(model.counts())
    oov = sum(word not in ("a", "b", "c", "d", "cmu") for sentence in train_lm.read_sentences(dev) for word in sentence)
    total = sum(map(len, train_lm.read_sentences(dev)))
    assert f"({oov} of {total} words, 31 sentences)" in text
    weight = float(text.split(f"weights: {train} ")[1].split(",")[0])
    assert weight > 0.8  # dev is drawn from the first text


def test_missing_text_is_named(tmp_path):
    with pytest.raises(HdnnError, match=r"nothing\.txt does not exist"):
        call("lang train-lm", [str(tmp_path / "dev"), str(tmp_path / "lm"), str(tmp_path / "nothing.txt")])


def path_cost(fst, labels: list[int], back_off: int) -> float:
    """Cheapest cost of a label sequence through an acceptor whose `back_off` arcs may be taken anywhere."""
    import kaldifst

    frontier = {fst.start: 0.0}
    for label in [*labels, None]:
        todo = list(frontier.items())
        while todo:  # close over back-off arcs
            state, cost = todo.pop()
            for arc in kaldifst.ArcIterator(fst, state):
                if arc.ilabel == back_off and cost + arc.weight.value < frontier.get(arc.nextstate, math.inf):
                    frontier[arc.nextstate] = cost + arc.weight.value
                    todo.append((arc.nextstate, frontier[arc.nextstate]))
        if label is None:
            return min(cost + fst.final(state).value for state, cost in frontier.items())
        following: dict[int, float] = {}
        for state, cost in frontier.items():
            for arc in kaldifst.ArcIterator(fst, state):
                if arc.ilabel == label:
                    total = cost + arc.weight.value
                    following[arc.nextstate] = min(total, following.get(arc.nextstate, math.inf))
        frontier = following
    raise AssertionError


@pytest.fixture(scope="module")
def lang_with_grammar(tmp_path_factory):
    """A model and a lang directory with its G.fst."""

    root = tmp_path_factory.mktemp("grammar")
    dictionary = root / "dict"
    dictionary.mkdir()
    (dictionary / "lexicon.txt").write_text("<unk> oov\n[noise] noise\na AH\nb B\nc K\nd D\ne B IY\n")
    (dictionary / "silence_phones.txt").write_text("sil\nnoise\noov\n")
    (dictionary / "nonsilence_phones.txt").write_text("AH\nB\nD\nIY\nK\n")
    (dictionary / "optional_silence.txt").write_text("sil\n")
    (dictionary / "extra_questions.txt").write_text("sil noise oov\n")
    call("lang prepare", [str(dictionary), "<unk>", str(root / "lang")])
    model = lm.prune(lm.kneser_ney(corpus(17), 3, {*WORDS, "<unk>"}), 1e-3)
    arpa.write_arpa(model, root / "lm.arpa.gz")
    call("lang format-lm", [str(root / "lang"), str(root / "lm.arpa.gz"), str(root / "lang_test")])
    return model, root / "lang_test"


def test_grammar_paths_cost_what_the_model_says(lang_with_grammar):
    import kaldifst

    model, lang = lang_with_grammar
    words = dict(line.split() for line in (lang / "words.txt").read_text().splitlines())
    grammar = kaldifst.StdVectorFst.read(str(lang / "G.fst"))
    for sentence in corpus(18, 20):
        labels = [int(words[word]) for word in sentence]
        expected = -math.log(10) * sum(
            model.log_prob(history, word) for history, word in lm.events(sentence, set(WORDS), 3, "<unk>")
        )
        cost = path_cost(grammar, labels, int(words["#0"]))
        # The cheapest path may back off where the model does not, so it is never dearer than the model.
        assert cost <= expected + 1e-3
        assert cost >= expected - 1.0


def test_grammar_equals_kaldis(kaldi_fixture, tmp_path):
    """G.fst of an ARPA file against the one that Kaldi's arpa2fst made of it."""
    import kaldifst

    from hdnn_nnet.lang import grammar as format_lm

    lang = kaldi_fixture / "lang"
    format_lm.make_grammar(lang / "lm.arpa", SymbolTable.read(lang / "words.txt"), tmp_path / "G.fst")
    ours, theirs = (kaldifst.StdVectorFst.read(str(d / "G.fst")) for d in (tmp_path, lang))
    assert ours.num_states > 10
    assert (ours.start, ours.to_str()) == (theirs.start, theirs.to_str())


@pytest.mark.kaldi
def test_openfst_reads_the_grammar(lang_with_grammar, kaldi_root):
    """Kaldi's own validation, G.fst included (it needs Kaldi's FST programs)."""
    from tests.test_lang import validate_lang

    validate_lang(lang_with_grammar[1], kaldi_root)


def test_lost_words_are_an_error(tmp_path):

    (tmp_path / "words.txt").write_text("<eps> 0\nx 1\n#0 2\n<s> 3\n</s> 4\n")
    arpa.write_arpa(lm.kneser_ney(corpus(19), 2, WORDS), tmp_path / "lm.arpa")
    with pytest.raises(HdnnError, match="no word in common"):
        call("lang format-lm", [str(tmp_path), str(tmp_path / "lm.arpa"), str(tmp_path / "out")])
