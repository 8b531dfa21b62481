"""What does not belong together is refused or told: language models, features, teachers, lattices, options."""

import logging
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.align.aligner import GraphCompiler
from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import FeatureDescription, require_same_features
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.fst import read_fst
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.lang.grammar import format_lm
from hdnn_nnet.lattice.directory import read_directory
from hdnn_nnet.lattice.table import LatticeWriter
from hdnn_nnet.nn.config import read_json
from hdnn_nnet.train.soft_sources import open_soft_labels, warn_of_disagreement

ARPA = (
    "\\data\\\nngram 1=6\nngram 2=4\n\n\\1-grams:\n-1.0\t<unk>\t-0.2\n-99\t<s>\t-0.3\n-1.0\t</s>\n-0.7\tone\t-0.25\n"
    "-0.7\ttwo\t-0.25\n-0.7\tthree\t-0.2\n\n\\2-grams:\n-0.3\t<s> one\n-0.3\tone two\n-0.4\ttwo three\n-0.5\tthree </s>\n\n"
    "\\end\\\n"
)


@pytest.fixture
def lang(tmp_path: Path) -> Path:
    (tmp_path / "lang").mkdir()
    words = ("<eps>", "<unk>", "one", "two", "three", "#0", "<s>", "</s>")
    (tmp_path / "lang/words.txt").write_text("".join(f"{word} {n}\n" for n, word in enumerate(words)))
    return tmp_path / "lang"


@pytest.mark.parametrize("change", ["none", "crlf", "bom", "blanks", "gz-crlf"])
def test_line_ends_of_language_models(lang: Path, tmp_path: Path, change: str) -> None:
    """Every n-gram reaches G, which can end."""
    import gzip

    text = ARPA.replace("\n", "\r\n") if "crlf" in change else ARPA
    text = (
        "\ufeff" + text
        if change == "bom"
        else text.replace("ngram 1=6", "ngram  1 = 6 ")
        if change == "blanks"
        else text
    )
    arpa = tmp_path / ("lm.arpa.gz" if change == "gz-crlf" else "lm.arpa")
    arpa.write_bytes(gzip.compress(text.encode()) if change == "gz-crlf" else text.encode())
    if change == "crlf":
        (lang / "words.txt").write_bytes((lang / "words.txt").read_bytes().replace(b"\n", b"\r\n"))
    format_lm(lang, arpa, tmp_path / "out")
    grammar = read_fst(tmp_path / "out/G.fst")
    ilabels = grammar.arcs["ilabel"].tolist()
    # Four words and <unk> alone, three of four bigrams (the fourth ends); </s> twice, as unigram and bigram.
    assert sorted(label for label in ilabels if label != 5) == [1, 2, 2, 3, 3, 4, 4]
    assert np.isfinite(grammar.final).sum() == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("one", "ONE", None),  # a warning is enough where others are common
        ("-0.4\ttwo", "nan\ttwo", "not finite"),
        ("-0.4\ttwo", "-inf\ttwo", "not finite"),
        ("-99\t<s>", "-1e999\t<s>", "not finite"),
        ("\tthree\t", "\t#0\t", "#0 as a word"),
        ("-1.0\t</s>\n", "-1.0\tfour\n", "no </s>"),
        ("\\2-grams:", "\\3-grams:", "expected .2-grams:"),
        ("two three", "two three four", "not in ARPA format"),
        ("\\end\\\n", "", "truncated"),
        ("-0.4\ttwo three\n", "", "announces"),
    ],
)
def test_bad_language_models(lang: Path, tmp_path: Path, old: str, new: str, message: str | None) -> None:
    (tmp_path / "lm.arpa").write_text(ARPA.replace(old, new))
    if message is None:
        format_lm(lang, tmp_path / "lm.arpa", tmp_path / "out")
        return
    with pytest.raises(HdnnError, match=message):
        format_lm(lang, tmp_path / "lm.arpa", tmp_path / "out")
    assert not (tmp_path / "out/G.fst").exists()


def test_models_in_capitals(lang: Path, tmp_path: Path) -> None:
    text = ARPA
    for word in ("one", "two", "three"):
        text = text.replace(word, word.upper())
    (tmp_path / "lm.arpa").write_text(text)
    with pytest.raises(HdnnError, match="no word in common; they differ in the case of letters"):
        format_lm(lang, tmp_path / "lm.arpa", tmp_path / "out")


def test_features_of_another_kind(tmp_path: Path) -> None:
    data, model = tmp_path / "data", tmp_path / "model"
    for directory in (data, model):
        directory.mkdir()
    require_same_features(data, model)  # neither tells
    FeatureDescription.make("fbank", {}).write(model)
    require_same_features(data, model)
    FeatureDescription.make("fbank", {"sample-frequency": "16000", "dither": "1"}).write(data)
    require_same_features(data, model)  # a default that is written out, and dither
    for kind, options in (("mfcc", {"num-ceps": "40", "num-mel-bins": "40"}), ("fbank", {"low-freq": "40"})):
        FeatureDescription.make(kind, options).write(data)
        with pytest.raises(HdnnError, match="features of different kinds"):
            FeatureSource([str(data)], "", "", model)


def test_soft_labels_of_another_order(kaldi_fixture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = TransitionModel.read(kaldi_fixture / "exp/ali/final.mdl")
    labels = read_pdf_alignments(kaldi_fixture / "exp/ali", model)
    order = np.random.default_rng(0).permutation(model.num_pdfs)
    for name, pdfs in (("right", np.arange(model.num_pdfs)), ("wrong", order)):
        with PosteriorWriter(f"ark,scp:{tmp_path}/{name}.ark,{tmp_path}/{name}.scp") as writer:
            for utt, row in labels.items():
                best, other = pdfs[row], pdfs[(row + 1) % model.num_pdfs]
                both = np.stack([other, best], 1).astype(np.int32).reshape(-1)
                weights = np.tile(np.array([0.3, 0.7], np.float32), len(row))
                writer.write_posteriors(utt, SparsePosteriors(2 * np.arange(len(row) + 1), both, weights))
        source = open_soft_labels(f"{tmp_path}/{name}.scp", model.num_pdfs, 1.0, 1.0)
        caplog.clear()
        warn_of_disagreement(source, labels)
        assert ("were they made with another tree" in caplog.text) == (name == "wrong")


def test_words_without_pronunciation(kaldi_fixture: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = kaldi_fixture / "exp/tri"
    model, tree = TransitionModel.read(source / "final.mdl"), ContextDependency.read(source / "tree")
    compiler = GraphCompiler(model, tree, kaldi_fixture / "lang")
    words = SymbolTable.read(kaldi_fixture / "lang/words.txt")
    assert compiler.compile([words["four"]], "u1") is not None
    for symbol in ("<s>", "</s>", "#0"):
        caplog.clear()
        assert compiler.compile([words["four"], words[symbol]], "u2") is None
        assert f"utterance u2: word {symbol} has no pronunciation" in caplog.text


@pytest.fixture
def with_empty_lattice(kaldi_fixture: Path, tmp_path: Path) -> Path:
    """The fixture's decode directory; the first lattice has lost its final states."""
    directory = tmp_path / "decode"
    directory.mkdir()
    (directory / "num_jobs").write_text("1\n")
    with LatticeWriter(f"ark:| gzip -c > {directory}/lat.1.gz") as writer:
        for number, (key, lattice) in enumerate(read_directory(kaldi_fixture / "exp/decode")):
            if number == 0:
                lattice.final[:] = np.inf
            writer.write_lattice(key, lattice)
    return directory


def test_one_empty_lattice_ends_nothing(kaldi_fixture: Path, with_empty_lattice: Path, caplog) -> None:
    data, graph = str(kaldi_fixture / "data/test"), str(kaldi_fixture / "graph")
    directory = str(with_empty_lattice)
    call("ctm", [data, graph, str(kaldi_fixture / "exp/tri/final.mdl"), directory])
    (text,) = {path.read_text() for path in with_empty_lattice.glob("ascore_10/*.ctm")}
    assert {line.split()[0] for line in text.splitlines()} == set(list(read_scp(f"{data}/utt2spk"))[1:])
    call("check lattices", ["--max-missing", "0.5", data, directory])
    with pytest.raises(HdnnError, match="1 of 4 utterances have no lattice"):
        call("check lattices", [data, directory])


@pytest.mark.parametrize(
    ("given", "names"),
    [("-0.5", ["-0.5"]), ("1e-1", ["0.1"]), (" 0.0 , 0.5", ["0.0", "0.5"]), ("+1,1.0", ["1.0"]), ("-0.0", ["0.0"])],
)
def test_penalties_in_any_spelling(kaldi_fixture: Path, tmp_path: Path, given: str, names: list[str]) -> None:
    for name in ("lat.1.gz", "num_jobs"):
        (tmp_path / name).write_bytes((kaldi_fixture / "exp/decode" / name).read_bytes())
    arguments = ["--min-lmwt", "10", "--max-lmwt", "10", f"--word-ins-penalty={given}"]
    call("score", [*arguments, str(kaldi_fixture / "data/test"), str(kaldi_fixture / "graph"), str(tmp_path)])
    assert sorted(path.name for path in tmp_path.glob("wer_*")) == sorted(f"wer_10_{name}" for name in names)


@pytest.mark.parametrize("given", ["nan", "inf", "x", "1_0", ""])
def test_penalties_that_are_none(kaldi_fixture: Path, given: str) -> None:
    with pytest.raises(HdnnError, match="--word-ins-penalty"):
        call("score", [f"--word-ins-penalty={given}", *map(str, [kaldi_fixture / "data/test", "graph", "decode"])])


def test_latgen_takes_what_kaldis_takes(kaldi_fixture: Path, tmp_path: Path, capsys, caplog) -> None:
    """Options of latgen-faster-mapped, extended file names for model and graph; unknown options are named."""
    model, graph = kaldi_fixture / "exp/tri/final.mdl", kaldi_fixture / "graph/HCLG.fst"
    options = [
        "--print-args=true", "--prune-scale=0.1", "--prune-interval=25", "--beam-delta=0.5", "--hash-ratio=2.0",
        "--memory-pool-tokens-block-size=256", "--minimize=false", "--acoustic-scale=0.1", "--max-active=7000",
    ]  # fmt: skip
    likes = f"ark:{kaldi_fixture}/exp/nnet/loglikes_test.ark"
    with caplog.at_level(logging.INFO):
        call("latgen", [*options, f"cat {model} |", f"cat {graph} |", likes, f"ark:{tmp_path}/lat.ark"])
    assert "done 4 utterances" in caplog.text
    assert "--prune-scale=0.1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("latgen", ["--lattice-beams=3", "a", "b", "c", "d"])
    assert "unknown option --lattice-beams (did you mean --lattice-beam?)" in capsys.readouterr().err


def test_long_utterances_are_told_what_they_take(kaldi_fixture: Path, tmp_path: Path, caplog, monkeypatch) -> None:
    from hdnn_nnet.decode import latgen

    graph = read_fst(kaldi_fixture / "graph/HCLG.fst")
    # Measured: 5.0 GB for 29568 frames with all arcs alive, and 1.35 for 6000, of which 0.3 are the program's.
    assert 4e9 < latgen.memory_of_search(29568, graph, 2**31 - 1) < 6.5e9
    assert latgen.memory_of_search(29568, graph, 100) < 1.5e9
    monkeypatch.setattr(latgen, "_LONG", 100)
    arguments = [kaldi_fixture / "exp/tri/final.mdl", kaldi_fixture / "graph/HCLG.fst"]
    likes = f"ark:{kaldi_fixture}/exp/nnet/loglikes_test.ark"
    call("latgen", ["--search=numpy", *map(str, arguments), likes, "ark:/dev/null"])  # forgets as it goes
    assert "in one piece" not in caplog.text
    pytest.importorskip("k2")
    call("latgen", ["--search=k2", *map(str, arguments), likes, "ark:/dev/null"])
    assert "frames, which are searched in one piece: that may take" in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        "num-mel-bins=-5", "num-mel-bins=1", "num-mel-bins=9999", "sample-frequency=0", "frame-shift=0", "frame-shift=-1",
        "frame-length=0", "low-freq=9000", "low-freq=nan", "num-ceps=0", "num-ceps=-1", "num-ceps=50", "window-type=foo",
        "dither=nan", "dither=-1", "preemphasis-coefficient=5", "blackman-coeff=inf", "num-ceps=1_0",
    ],
)  # fmt: skip
def test_values_of_feature_options(given: str) -> None:
    """The package under it answers some with exceptions of its own, and 0 with a crash."""
    name, _, value = given.partition("=")
    with pytest.raises(HdnnError, match=name.replace("-", ".")):
        FeatureDescription.make("mfcc", {name: value})


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("data split", ["data", "0"]), ("collect lattices", ["0", "data", "model", "dir"]),
        ("collect soft-labels", ["-1", "data", "dir"]), ("prior-counts", ["--prior-scale=nan", "data", "model", "counts"]),
    ],
)  # fmt: skip
def test_numbers_out_of_range(command: str, words: list[str]) -> None:
    with pytest.raises(HdnnError, match=r"must be (at least 1|a finite number), not"):
        call(command, words)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train mono", ["--realign-iters=1,-2", "data", "lang", "exp"]),
        ("train lda-mllt", ["--mllt-iters=0", "2000", "10000", "data", "lang", "ali", "exp"]),
        ("train sat", ["--fmllr-iters=-4", "2000", "10000", "data", "lang", "ali", "exp"]),
    ],
)  # fmt: skip
def test_numbers_in_lists_out_of_range(command: str, words: list[str]) -> None:
    with pytest.raises(HdnnError, match=r"-iters must be at least 1, not"):
        call(command, words)


@pytest.mark.parametrize(
    ("command", "words"),
    [("latgen", ["model", "graph", "ark:-", "ark:-"]), ("export nnet3", ["model", "graph", "no-such/out"])],
)
def test_limits_of_states_that_cross(command: str, words: list[str]) -> None:
    """Kaldi's decoders end with a failed assertion."""
    with pytest.raises(HdnnError, match="--min-active 9 is above --max-active 3"):
        call(command, ["--min-active=9", "--max-active=3", *words])


def test_transforms_from_labels_of_other_utterances(
    kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As gmm-est-fmllr, which ends with 1 when it has done none; ours wrote identities without a word."""
    monkeypatch.chdir(kaldi_fixture)
    with pytest.raises(HdnnError, match="none of the 10 utterances with labels is in the data directory"):
        call(
            "gmm fmllr",
            ["--labels-are=alignments", "data/test", "exp/tri", "ark:exp/ali/ali.txt", str(tmp_path / "trans")],
        )
    assert not (tmp_path / "trans").exists()


def test_nesting_without_end(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("[" * 100000)
    with pytest.raises(HdnnError, match=r"model\.json is not valid JSON"):
        read_json(tmp_path / "model.json")
    (tmp_path / "tree").write_text("ContextDependency 3 1 ToPdf " + "SE 0 [ 1 ]\n{ " * 20000)
    with pytest.raises(HdnnError, match="tree: a tree of more levels"):
        ContextDependency.read(tmp_path / "tree")
