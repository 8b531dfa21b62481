"""GMMs: model files, likelihoods and alignments against Kaldi's; training rules against the wheel kaldi-hmm-gmm."""

import shutil
import subprocess
from pathlib import Path

import kaldi_hmm_gmm as khg
import numpy as np
import pytest

from hdnn_nnet.align.aligner import Aligner, AlignOptions, GraphCompiler
from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm import train
from hdnn_nnet.gmm.cache import Cache
from hdnn_nnet.gmm.em import Statistics, split_gmms, split_targets, update_gmms, update_transitions
from hdnn_nnet.gmm.features import open_features
from hdnn_nnet.gmm.model import DiagGmms, LogLikelihoods, read_gmm_model, write_gmm_model
from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_DELTAS, MonoOptions
from hdnn_nnet.gmm.team import deal
from hdnn_nnet.gmm.train import flat_start
from hdnn_nnet.graph.hmm_gmm import hmm_gmm_transitions
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import SymbolTable, read_integer_lines, read_integers
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.lang.transcripts import Transcripts


def _wheel_gmms(gmms: DiagGmms):
    """The same mixtures as the wheel's AmDiagGmm."""
    am = khg.AmDiagGmm()
    for begin, end in zip(gmms.offsets[:-1], gmms.offsets[1:], strict=True):
        one = khg.DiagGmm(int(end - begin), gmms.dim)
        one.set_weights(gmms.weights[begin:end].astype(np.float32))
        one.set_invvars_and_means(
            (1 / gmms.variances[begin:end]).astype(np.float32), gmms.means[begin:end].astype(np.float32)
        )
        one.compute_gconsts()
        am.add_pdf(one)
    return am


@pytest.fixture(scope="module")
def system(kaldi_fixture: Path) -> tuple[TransitionModel, DiagGmms, ContextDependency]:
    model, gmms = read_gmm_model(kaldi_fixture / "exp/tri/final.mdl")
    return model, gmms, ContextDependency.read(kaldi_fixture / "exp/tri/tree")


@pytest.fixture(scope="module")
def reader(kaldi_fixture: Path) -> FeatureReader:
    return open_features(kaldi_fixture / "data/train", kaldi_fixture / "exp/tri", kaldi_fixture)


@pytest.fixture(scope="module")
def lang(kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture's lang directory with sets.int, which it lacks: variants of a phone by word position share pdfs."""
    lang = tmp_path_factory.mktemp("lang") / "lang"
    shutil.copytree(kaldi_fixture / "lang", lang)
    for path in [lang, *lang.rglob("*")]:
        path.chmod(0o755)
    groups: dict[str, list[int]] = {}
    for symbol, number in SymbolTable.read(lang / "phones.txt").ids.items():
        if number > 0 and not symbol.startswith("#"):
            base, _, position = symbol.rpartition("_")
            groups.setdefault(base if position in "BIES" and base else symbol, []).append(number)
    lines = (" ".join(map(str, sorted(group))) for group in groups.values())
    (lang / "phones/sets.int").write_text("\n".join(lines) + "\n")
    return lang


def test_final_mdl(kaldi_fixture: Path, tmp_path: Path, system) -> None:
    """Read from binary and text, written, and read again: the same numbers; the size Kaldi's file has."""
    model, gmms, _ = system
    info = (kaldi_fixture / "exp/tri/am-info.txt").read_text()
    assert "number of pdfs 40" in info
    assert (gmms.num_pdfs, gmms.dim) == (40, 39)
    _, from_text = read_gmm_model(kaldi_fixture / "exp/tri/final.mdl.txt")
    np.testing.assert_allclose(from_text.means, gmms.means, rtol=1e-4, atol=1e-5)
    for binary in (True, False):
        write_gmm_model(tmp_path / "final.mdl", model, gmms, binary)
        again_model, again = read_gmm_model(tmp_path / "final.mdl")
        np.testing.assert_array_equal(again_model.tuples, model.tuples)
        for name in ("weights", "means", "variances"):
            pair = getattr(again, name), getattr(gmms, name)
            np.testing.assert_allclose(*pair, rtol=1e-6 if binary else 1e-4, atol=1e-5)
        np.testing.assert_array_equal(again.offsets, gmms.offsets)
        if binary:
            assert (tmp_path / "final.mdl").stat().st_size == (kaldi_fixture / "exp/tri/final.mdl").stat().st_size


def test_gconsts_are_kaldis(kaldi_fixture: Path, system) -> None:
    """The stored constants, read from Kaldi's text file, against ours from means and variances."""
    lines = (kaldi_fixture / "exp/tri/final.mdl.txt").read_text().splitlines()
    vectors = [line.split("[")[1].split("]")[0].split() for line in lines if line.startswith("<GCONSTS>")]
    vectors = [line.split("[")[1].split("]")[0].split() for line in lines if line.startswith("<GCONSTS>")]
    stored = [float(word) for vector in vectors for word in vector]
    np.testing.assert_allclose(system[1].gconsts(), stored, rtol=1e-5)


@pytest.mark.parametrize("keep", [9280, 9400, 20000, 33800])
def test_truncated_model(kaldi_fixture: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "final.mdl").write_bytes((kaldi_fixture / "exp/tri/final.mdl").read_bytes()[:keep])
    with pytest.raises(HdnnError, match=r"final\.mdl"):
        read_gmm_model(tmp_path / "final.mdl")
    assert TransitionModel.read(tmp_path / "final.mdl").num_pdfs == 40


def test_log_likelihoods(system, reader: FeatureReader) -> None:
    """Against the wheel, frame by frame, and against the density's formula."""
    gmms = system[1]
    features = reader[reader.utts[0]][:20]
    ours = LogLikelihoods(gmms)(features)
    wheel = _wheel_gmms(gmms)
    expected = [[wheel.log_likelihood(pdf, frame) for pdf in range(gmms.num_pdfs)] for frame in features]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=2e-3)
    pdf = int(np.argmax(np.diff(gmms.offsets)))
    own = slice(gmms.offsets[pdf], gmms.offsets[pdf + 1])
    square = ((features[3] - gmms.means[own]) ** 2 / gmms.variances[own]).sum(axis=1)
    densities = np.exp(-0.5 * square) / np.sqrt(np.prod(2 * np.pi * gmms.variances[own], axis=1))
    assert np.isclose(np.log((gmms.weights[own] * densities).sum()), ours[3, pdf], atol=1e-3)
    with pytest.raises(HdnnError, match="39"):
        LogLikelihoods(gmms)(features[:, :13])


def test_alignments_are_kaldis(kaldi_fixture: Path, system) -> None:
    """Aligning by Kaldi's triphone GMM gives Kaldi's alignments, to the last frame."""
    model, gmms, tree = system
    compiler = GraphCompiler(model, tree, kaldi_fixture / "lang")
    transcripts = Transcripts(kaldi_fixture / "lang")
    log_likelihoods = LogLikelihoods(gmms)
    for name, directory in (("train", "ali"), ("test", "ali_test")):
        data = kaldi_fixture / "data" / name
        reader = open_features(data, kaldi_fixture / "exp/tri", kaldi_fixture)
        expected = read_alignments(kaldi_fixture / "exp" / directory)
        aligner = Aligner(model, tree, AlignOptions())
        for utterance, text in read_scp(data / "text").items():
            graph = compiler.compile(transcripts.numbers(text))
            path = aligner.align(utterance, graph, log_likelihoods(reader[utterance]))
            assert path is not None
            assert path is not None
            np.testing.assert_array_equal(path, expected[utterance])
    assert transcripts.unknown == 3  # "cheese": 2 in train, 1 in test, by the fixture's description
    assert aligner.align("short", graph, log_likelihoods(reader[reader.utts[0]][:5])) is None
    with pytest.raises(HdnnError, match="utterance x: NaN"):
        aligner.align("x", graph, np.full((9, 40), np.nan, np.float32))


def test_update_rules_are_the_wheels(kaldi_fixture: Path, system, reader: FeatureReader) -> None:
    """Statistics and the update of mixtures and transitions, on Kaldi's own alignments."""
    model, gmms, tree = system
    gmms = split_gmms(gmms, np.diff(gmms.offsets) + 1, np.random.default_rng(0), perturb=0.2)
    statistics = Statistics.zeros(gmms, model)
    wheel, wheel_model = _wheel_gmms(gmms), hmm_gmm_transitions(model, tree)
    accumulator = khg.AccumAmDiagGmm()
    accumulator.init(wheel, khg.GmmUpdateFlags.kGmmAll.value)
    counts = wheel_model.init_stats()
    log_likelihood = 0.0
    for utterance, ids in read_alignments(kaldi_fixture / "exp/ali").items():
        features = reader[utterance]
        statistics.accumulate(gmms, model, features, ids)
        for frame, tid in zip(features, ids.tolist(), strict=True):
            log_likelihood += accumulator.accumulate_for_gmm(wheel, frame, int(model.tid_to_pdf[tid]), 1.0)
            counts = wheel_model.accumulate(1.0, tid, counts)
    assert statistics.frames == 2556
    assert np.isclose(statistics.log_likelihood, log_likelihood, rtol=1e-5)
    np.testing.assert_array_equal(statistics.transitions, counts)

    updated = update_gmms(gmms, statistics)
    khg.mle_am_diag_gmm_update(khg.MleDiagGmmOptions(), accumulator, khg.GmmUpdateFlags.kGmmAll.value, wheel)
    assert updated.num_gauss == wheel.num_gauss < gmms.num_gauss  # some had too little data
    for pdf in range(gmms.num_pdfs):
        own = slice(updated.offsets[pdf], updated.offsets[pdf + 1])
        theirs = wheel.get_pdf(pdf)
        np.testing.assert_allclose(updated.weights[own], theirs.weights, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(updated.means[own], theirs.means, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(updated.variances[own], theirs.vars, rtol=1e-2, atol=1e-3)

    wheel_model.mle_update(counts, khg.MleTransitionUpdateConfig())
    np.testing.assert_allclose(
        update_transitions(model, statistics.transitions).log_probs, wheel_model.log_probs, rtol=1e-5, atol=1e-6
    )


def test_split_rules_are_the_wheels() -> None:
    """How many Gaussians each pdf gets, against the wheel; and that a split keeps weight and mean."""
    generator = np.random.default_rng(1)
    for target, power, min_count in ((60, 0.25, 20.0), (40, 1.0, 20.0), (300, 0.5, 100.0)):
        occupancies = np.round(generator.gamma(0.5, 800, 12))
        gmms = DiagGmms.single(12, np.zeros(2), np.ones(2))
        wheel = _wheel_gmms(gmms)
        wheel.split_by_count(occupancies.astype(np.float32), target, 0.01, power, min_count)
        targets = split_targets(occupancies, target, power, min_count)
        assert targets.tolist() == [wheel.num_gauss_in_pdf(pdf) for pdf in range(12)]
        split = split_gmms(gmms, targets, generator)
        assert np.diff(split.offsets).tolist() == targets.tolist()
        np.testing.assert_allclose(np.add.reduceat(split.weights, split.offsets[:-1]), 1)
        means = np.add.reduceat(split.weights[:, None] * split.means, split.offsets[:-1])
        np.testing.assert_allclose(means, 0, atol=1e-12)
        assert np.abs(split.means).max() < 0.2


def test_dealing() -> None:
    for count in (1, 2, 5, 9):
        parts = deal([str(n) for n in range(count)], 4)
        assert [u for part in parts for u in part] == [str(n) for n in range(count)]
        assert all(parts)
        assert len(parts) == min(4, count)


def test_flat_start(lang: Path, kaldi_fixture: Path) -> None:
    reader = open_features(kaldi_fixture / "data/train", kaldi_fixture / "exp/tri", kaldi_fixture)
    model, tree, gmms = flat_start(reader, lang, 3)
    frames = np.concatenate([reader[utterance] for utterance in reader.utts[:3]])
    np.testing.assert_allclose(gmms.means, np.tile(frames.mean(axis=0), (gmms.num_pdfs, 1)), atol=1e-3)
    np.testing.assert_allclose(gmms.variances[0], frames.var(axis=0), rtol=1e-3)
    assert tree.num_pdfs == model.num_pdfs == gmms.num_pdfs


@pytest.fixture(scope="module")
def mono(lang: Path, kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A monophone system of the fixture's ten utterances, trained by two processes through the program."""
    directory = tmp_path_factory.mktemp("exp") / "mono"
    options = ["--num-iters=20", "--max-iter-inc=14", "--totgauss=150", "--nj=2", f"--root={kaldi_fixture}"]
    assert call("train mono", [*options, str(kaldi_fixture / "data/train"), str(lang), str(directory)]) == 0
    return directory


def test_training(mono: Path, lang: Path, kaldi_fixture: Path) -> None:
    """A Kaldi model directory; every alignment is a path of its HMMs that spells a pronunciation of the transcript."""
    for name in ("final.mdl", "tree", "phones.txt", "final.occs", "ali.1.gz", "ali.2.gz"):
        assert (mono / name).stat().st_size > 0, name
    assert (mono / "num_jobs").read_text() == "2\n"
    assert (mono / "cmvn_opts").read_text().strip() == DEFAULT_CMVN
    assert (mono / "delta_opts").read_text().strip() == DEFAULT_DELTAS
    assert (mono / "unaligned").read_text() == ""
    model, gmms = read_gmm_model(mono / "final.mdl")
    tree = ContextDependency.read(mono / "tree")
    assert tree.num_pdfs == model.num_pdfs == gmms.num_pdfs
    assert gmms.num_pdfs < gmms.num_gauss <= 150
    ours = read_alignments(mono)
    texts = read_scp(kaldi_fixture / "data/train/text")
    assert sorted(ours) == sorted(texts)
    words = SymbolTable.read(lang / "words.txt")
    lexicon: dict[int, set[tuple[int, ...]]] = {}
    for word, _, *phones in read_integer_lines(lang / "phones/align_lexicon.int"):
        lexicon.setdefault(word, set()).add(tuple(phones))
    silence = set(read_integers(lang / "phones/optional_silence.int"))
    (oov,) = read_integers(lang / "oov.int")
    for utterance, path in ours.items():
        spoken = [phone for phone in _phones(model, path) if phone not in silence]
        assert _spells(spoken, [words.ids.get(word, oov) for word in texts[utterance].split()], lexicon)


def _phones(model: TransitionModel, path: np.ndarray) -> list[int]:
    """The phones of an alignment; checks on the way that the HMMs can take this path."""
    phones: list[int] = []
    finished, state = True, 0
    for tid in path.tolist():
        if model.is_self_loop[tid]:  # graphs are reordered: self-loops come behind the state's other transition
            assert model.tid_to_state[tid] == state
            continue
        if finished:
            phones.append(int(model.tid_to_phone[tid]))
            assert model.tid_to_hmm_state[tid] == 0
        assert model.tid_to_phone[tid] == phones[-1]
        finished, state = bool(model.is_final[tid]), int(model.tid_to_state[tid])
    assert finished
    return phones


def _spells(phones: list[int], words: list[int], lexicon: dict[int, set[tuple[int, ...]]]) -> bool:
    """Whether the phones are a pronunciation of the words."""
    if not words:
        return not phones
    starts = (p for p in lexicon[words[0]] if tuple(phones[: len(p)]) == p)
    return any(_spells(phones[len(p) :], words[1:], lexicon) for p in starts)


def test_training_repeats(lang: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    """One process or three: the same alignments, the same numbers but for the order of sums."""
    options = MonoOptions(num_iters=6, max_iter_inc=4, totgauss=60)
    data = kaldi_fixture / "data/train"
    reader = FeatureReader(data, DEFAULT_CMVN, DEFAULT_DELTAS, root=kaldi_fixture)
    texts = read_scp(data / "text")
    first, second = (train.train_mono(reader, texts, lang, options, workers) for workers in (1, 3))
    np.testing.assert_allclose(first.gmms.means, second.gmms.means, rtol=1e-6, atol=1e-6)
    again = train.train_mono(reader, texts, lang, options, 1)
    np.testing.assert_array_equal(first.gmms.means, again.gmms.means)
    merged = {utterance: path for part in second.alignments for utterance, path in part.items()}
    assert all((first.alignments[0][utterance] == path).all() for utterance, path in merged.items())


def test_features_need_not_fit_in_memory(lang: Path, kaldi_fixture: Path) -> None:
    data = kaldi_fixture / "data/train"
    reader = FeatureReader(data, DEFAULT_CMVN, DEFAULT_DELTAS, root=kaldi_fixture)
    texts = read_scp(data / "text")
    options = [MonoOptions(num_iters=3, totgauss=60, cache_bytes=size) for size in (1 << 30, 0)]
    cached, streamed = (train.train_mono(reader, texts, lang, option) for option in options)
    np.testing.assert_array_equal(cached.gmms.means, streamed.gmms.means)


def test_cache_keeps_the_first() -> None:
    made: list[str] = []

    def make(key: str) -> np.ndarray:
        made.append(key)
        return np.zeros(10, dtype=np.float32)

    cache: Cache[np.ndarray] = Cache(100, lambda value: value.nbytes)
    for _ in range(2):
        for key in "abcd":
            assert cache.get(key, make).shape == (10,)
    assert len(cache) == 2  # 40 bytes each
    assert made == list("abcdcd")
    cache.change(lambda value: value + 1)
    assert cache.get("a", make).sum() == 10
    cache.clear()
    assert cache.get("c", make).sum() == 0
    assert made == list("abcdcdc")


def test_align_directory(mono: Path, lang: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    """Two alignment jobs and the step that completes the directory, with a wide enough beam and a hopeless one."""
    data, root = str(kaldi_fixture / "data/test"), f"--root={kaldi_fixture}"
    target = tmp_path / "mono_ali"
    where = [data, str(lang), str(mono), str(target)]
    options = ["--boost-silence=1.25", "--retry-beam=200", root]
    for job in ("1", "2"):
        assert call("align gmm", ["--num-jobs=2", f"--job={job}", *options, *where]) == 0
    assert call("collect ali", ["--num-jobs=2", root, data, str(mono), str(target)]) == 0
    alignments = read_alignments(target)
    reader = FeatureReader(data, root=kaldi_fixture)
    assert {utterance: len(path) for utterance, path in alignments.items()} == reader.num_frames
    assert (target / "final.mdl").read_bytes() == (mono / "final.mdl").read_bytes()
    assert (target / "unaligned").read_text() == ""

    short = tmp_path / "short"
    shutil.copytree(data, short)
    for path in [short, *short.iterdir()]:
        path.chmod(0o755)
    texts = (short / "text").read_text().splitlines()
    texts[1] += " one two three four five six seven eight nine" * 20  # does not fit into its frames
    (short / "text").write_text("\n".join(texts) + "\n")
    assert call("align gmm", [*options, str(short), *where[1:]]) == 0
    with pytest.raises(HdnnError, match="1 of 4 utterances could not be aligned"):
        call("collect ali", [root, str(short), str(mono), str(target)])
    assert (target / "unaligned").read_text().split() == [texts[1].split()[0]]
    assert not (target / "ali.2.gz").exists()  # left by the run with two jobs
    (target / "unaligned.1").unlink()
    with pytest.raises(HdnnError, match=r"unaligned\.1 does not exist"):
        call("collect ali", [root, data, str(mono), str(target)])


def test_a_damaged_matrix_is_named(kaldi_fixture: Path, tmp_path: Path) -> None:
    (tmp_path / "final.mat").write_text("")
    with pytest.raises(HdnnError, match=r"final\.mat"):
        open_features(kaldi_fixture / "data/train", tmp_path)


@pytest.mark.kaldi
def test_kaldi_reads_ours(mono: Path, lang: Path, kaldi_fixture: Path, kaldi_root: Path) -> None:
    """show-transitions, ali-to-pdf and, where built, gmm-info and gmm-align-compiled on a directory written here."""
    model, gmms = read_gmm_model(mono / "final.mdl")
    command = [f"{kaldi_root}/src/bin/show-transitions", f"{lang}/phones.txt", f"{mono}/final.mdl"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == model.describe(SymbolTable.read(lang / "phones.txt").names())
    command = [f"{kaldi_root}/src/bin/ali-to-pdf", f"{mono}/final.mdl", f"ark:gunzip -c {mono}/ali.1.gz|", "ark,t:-"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = read_alignments(mono / "ali.1.gz")
    assert {line.split()[0]: [int(w) for w in line.split()[1:]] for line in lines} == {
        utterance: model.tid_to_pdf[path].tolist() for utterance, path in ours.items()
    }
    info = kaldi_root / "src/gmmbin/gmm-info"
    if not info.exists():
        pytest.skip("gmm-info is not built")
    shown = subprocess.run([str(info), f"{mono}/final.mdl"], capture_output=True, text=True, check=True).stdout
    assert f"number of pdfs {gmms.num_pdfs}\n" in shown
    assert f"number of gaussians {gmms.num_gauss}\n" in shown
    assert "feature dimension 39\n" in shown
