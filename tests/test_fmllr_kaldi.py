"""LDA, MLLT, fMLLR and rescoring beside files of real Kaldi, and real Kaldi's programs on our files where they are built."""

import re
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.affine import read_matrix_file, read_transforms
from hdnn_nnet.gmm.em import Statistics
from hdnn_nnet.gmm.features import GmmFeatures, open_features
from hdnn_nnet.gmm.fmllr import FmllrResult, FmllrStatistics, add_utterances, estimate_fmllr
from hdnn_nnet.gmm.lda import LdaStatistics, estimate_lda
from hdnn_nnet.gmm.mllt import MlltAccumulator, estimate_mllt
from hdnn_nnet.gmm.model import DiagGmms, read_gmm_model, write_gmm_model
from hdnn_nnet.gmm.posteriors import alignment_labels
from hdnn_nnet.gmm.two_models import accumulate_two, update_two
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.tables import read_int_vectors, read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
from tests.support import fixture_recipe

SILENCE = list(range(1, 11))
FRAMES = {"spkA": 793, "spkB": 578, "spkC": 580}


class Task:
    """The Kaldi fixture's training data and alignments with the systems of the fMLLR fixture."""

    def __init__(self, kaldi: Path, fmllr: Path) -> None:
        self.kaldi, self.fmllr = kaldi, fmllr
        self.alignments = read_alignments(kaldi / "exp/ali")

    def features(self, matrix: str = "lda/final.mat", transforms: str = "") -> GmmFeatures:
        found = open_features(self.kaldi / "data/train", self.fmllr / "lda", self.kaldi)
        found = found.with_matrix(read_matrix_file(self.fmllr / matrix) if matrix else None)
        return found.with_transforms(read_transforms(self.fmllr / transforms)) if transforms else found

    def fmllr_of(
        self, gmms: DiagGmms, silence_weight: float, posterior_model: DiagGmms | None = None, min_count: float = 500
    ) -> FmllrResult:
        model, features = read_gmm_model(self.fmllr / "lda/final.mdl")[0], self.features()
        statistics = {speaker: FmllrStatistics.zeros(gmms.dim) for speaker in FRAMES}
        utterances = [
            (features.utt2spk[u], features[u], alignment_labels(ids, model, SILENCE, silence_weight)[0])
            for u, ids in self.alignments.items()
        ]
        add_utterances(statistics, gmms, utterances, posterior_model)
        return estimate_fmllr(statistics, min_count)


@pytest.fixture(scope="module")
def task(kaldi_fixture: Path, fmllr_fixture: Path) -> Task:
    return Task(kaldi_fixture, fmllr_fixture)


def kaldis_gains(task: Task, step: str) -> dict[str, float]:
    """Speaker (or `all`) -> Kaldi's gain a frame."""
    gains = {}
    for line in (task.fmllr / "gains.txt").read_text().splitlines():
        if match := re.match(rf"{step}: (?:For speaker (\w+),|Overall).* is ([\d.]+)(?:,| over)", line):
            gains[match[1] or "all"] = float(match[2])
    return gains


def relative(ours: np.ndarray, kaldis: np.ndarray) -> float:
    return float(np.abs(ours - kaldis).max() / np.abs(kaldis).max())


def assert_same_transforms(ours: dict[str, np.ndarray], kaldis: dict[str, np.ndarray], limit: float = 1e-3) -> None:
    assert list(ours) == list(kaldis)
    for speaker, matrix in kaldis.items():
        assert relative(ours[speaker], matrix) < limit, speaker


def test_lda_is_kaldis(task: Task) -> None:
    model = read_gmm_model(task.kaldi / "exp/tri/final.mdl")[0]
    features = task.features(matrix="")
    assert features.dim == 91
    statistics = LdaStatistics.zeros(model.num_pdfs, features.dim)
    for utterance, ids in task.alignments.items():
        labels, _ = alignment_labels(ids, model, SILENCE, 0.0)
        statistics.accumulate(features[utterance][labels.frames], labels.pdfs, labels.weights)
    ours, kaldis = estimate_lda(statistics, 15).matrix, read_matrix_file(task.fmllr / "lda/0.mat")
    signs = np.sign((ours * kaldis).sum(axis=1))
    assert relative(ours * signs[:, None], kaldis) < 1e-4


def test_mllt_is_kaldis(task: Task) -> None:
    model, gmms = read_gmm_model(task.fmllr / "lda/before_mllt.mdl")
    features = task.features("lda/0.mat")
    accumulator = MlltAccumulator(gmms)
    for utterance, ids in task.alignments.items():
        accumulator.accumulate(features[utterance], alignment_labels(ids, model, SILENCE, 0.0)[0])
    matrix, gain = estimate_mllt(accumulator.statistics())
    assert relative(matrix, read_matrix_file(task.fmllr / "lda/mllt.mat")) < 1e-3
    assert abs(gain - kaldis_gains(task, "mllt")["all"]) < 1e-4


def test_fmllr_is_kaldis(task: Task) -> None:
    result = task.fmllr_of(read_gmm_model(task.fmllr / "lda/final.mdl")[1], 0.0)
    assert_same_transforms(result.transforms, read_transforms(task.fmllr / "sat/trans.1"))
    assert abs(result.gain / result.frames - kaldis_gains(task, "fmllr")["all"]) < 1e-4


def test_a_speaker_just_below_the_minimum_keeps_the_identity(task: Task) -> None:
    result = task.fmllr_of(read_gmm_model(task.fmllr / "lda/final.mdl")[1], 0.01, min_count=580)
    assert result.kept == ["spkB"]
    assert_same_transforms(result.transforms, read_transforms(task.fmllr / "lda/trans_min580"))
    assert abs(result.gain / result.frames - kaldis_gains(task, "fmllr580")["all"]) < 1e-4


def test_two_models_are_kaldis(task: Task) -> None:
    model, gmms = read_gmm_model(task.fmllr / "sat/final.mdl")
    independent, adapted = task.features(), task.features(transforms="sat/trans.1")
    statistics = Statistics.zeros(gmms, model)
    for utterance, ids in task.alignments.items():
        accumulate_two(statistics, gmms, model, adapted[utterance], independent[utterance], ids)
    ours, kaldis = update_two(gmms, statistics), read_gmm_model(task.fmllr / "sat/final.alimdl")[1]
    assert ours.num_gauss == kaldis.num_gauss
    assert relative(ours.means, kaldis.means) < 1e-4
    assert relative(ours.variances, kaldis.variances) < 1e-3
    assert np.abs(ours.weights - kaldis.weights).max() < 1e-4
    result = task.fmllr_of(gmms, 0.0, kaldis, 100)
    assert_same_transforms(result.transforms, read_transforms(task.fmllr / "sat/gpost_trans"))
    assert abs(result.gain / result.frames - kaldis_gains(task, "gpost")["all"]) < 1e-4


@pytest.fixture(scope="module")
def system(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The speaker-adapted system as a complete directory."""
    directory = tmp_path_factory.mktemp("sat")
    for name in ("lda/final.mat", "lda/splice_opts", "lda/cmvn_opts", "lda/tree", "sat/final.mdl", "sat/final.alimdl"):
        (directory / Path(name).name).write_bytes((task.fmllr / name).read_bytes())
    (directory / "phones.txt").write_bytes((task.kaldi / "lang/phones.txt").read_bytes())
    return directory


def test_transforms_from_lattices_are_kaldis(
    task: Task, system: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both passes of decode_fmllr.sh from Kaldi's lattices: gmm-est-fmllr-gpost, then gmm-est-fmllr and composition."""
    caplog.set_level("INFO")
    decode, data = task.fmllr / "decode", str(task.kaldi / "data/test")
    common = [
        f"--root={task.kaldi}",
        "--fmllr-min-count=100",
        f"--silence-phones={task.kaldi}/graph/phones/silence.csl",
    ]
    first = [f"--posterior-model={system}/final.alimdl", data, str(system), str(decode / "lat.si.1.gz")]
    assert call("gmm fmllr", [*common, *first, str(tmp_path / "pre")]) in (0, None)
    assert_same_transforms(read_transforms(tmp_path / "pre"), read_transforms(decode / "pre_trans.1"))
    second = [f"--transforms={decode}/pre_trans.1", data, str(system), str(decode / "lat.tmp.1.gz")]
    assert call("gmm fmllr", [*common, *second, str(tmp_path / "trans")]) in (0, None)
    assert_same_transforms(read_transforms(tmp_path / "trans"), read_transforms(decode / "trans.1"))
    gains = [float(found) for found in re.findall(r"gain ([\d.]+) a frame", caplog.text)]
    wanted = [kaldis_gains(task, step)["all"] for step in ("pass1", "pass2")]
    assert np.abs(np.subtract(gains[-2:], wanted)).max() < 1e-4


def test_rescored_lattices_are_kaldis(task: Task, system: Path, tmp_path: Path) -> None:
    decode = task.fmllr / "decode"
    arguments = [str(task.kaldi / "data/test"), str(system), str(decode / "lat.tmp.1.gz"), f"ark:{tmp_path}/lat"]
    assert call("gmm rescore", [f"--root={task.kaldi}", f"--transforms={decode}/trans.1", *arguments]) in (0, None)
    ours, kaldis = (dict(read_lattices(path)) for path in (tmp_path / "lat", decode / "lat.rescored.txt.gz"))
    assert list(ours) == list(kaldis)
    for key, lattice in kaldis.items():  # Kaldi numbers the states anew
        rows = [np.array(sorted(found.arcs[["label", "graph", "acoustic"]].tolist())) for found in (ours[key], lattice)]
        assert rows[0].shape == rows[1].shape
        assert np.allclose(rows[0], rows[1], rtol=1e-4, atol=0.05)


def test_alignment_in_two_passes(task: Task, system: Path, tmp_path: Path) -> None:
    """Jobs together cover every utterance; transforms are those by final.alimdl for final.mdl; failures are counted."""
    data, target = task.kaldi / "data/train", tmp_path / "ali"
    (target).mkdir()
    lang = task.kaldi / "lang"
    for job in (1, 2):
        arguments = [
            f"--root={task.kaldi}",
            "--num-jobs=2",
            f"--job={job}",
            str(data),
            str(lang),
            str(system),
            str(target),
        ]
        assert call("align fmllr", arguments) in (0, None)
    collect = [f"--root={task.kaldi}", "--num-jobs=2", str(data), str(system), str(target)]
    assert call("collect ali", collect) in (0, None)
    alignments = read_alignments(target)
    assert sorted(alignments) == sorted(task.alignments)
    same = sum(int((alignments[u] == ids).sum()) for u, ids in task.alignments.items())
    assert same / sum(map(len, alignments.values())) > 0.8  # the fixture's alignments are of another system
    for name in ("trans.1", "trans.2", "final.mdl", "final.alimdl", "final.mat", "splice_opts", "tree", "num_jobs"):
        assert (target / name).exists()
    assert {**read_transforms(target / "trans.1"), **read_transforms(target / "trans.2")}.keys() == FRAMES.keys()
    with pytest.raises(HdnnError, match="3 speakers cannot be dealt to 4 jobs"):
        call("align fmllr", ["--num-jobs=4", str(data), str(lang), str(system), str(target)])


def test_copies_take_the_alignments_of_their_originals(task: Task, system: Path, tmp_path: Path) -> None:
    """Copies as long as the originals: their alignments, and Kaldi's transforms from these; a shorter copy is aligned."""
    data, target = tmp_path / "train_noise", tmp_path / "ali"
    fixture_recipe.copy_data(task.kaldi, data, "train")
    shorter = min(task.alignments)
    for name in ("feats.scp", "text", "utt2spk", "cmvn.scp"):
        lines = (data / name).read_text().splitlines()
        copied = [f"noise1-{line}" for line in lines]
        if name == "utt2spk":
            copied = [line.replace(" ", " noise1-") for line in copied]
        if name == "feats.scp":
            cut = f"[2:{len(task.alignments[shorter]) - 1}]"
            copied = [line + cut * line.startswith(f"noise1-{shorter} ") for line in copied]
        (data / name).write_text("".join(f"{line}\n" for line in sorted(lines + copied)))
    (data / "utt2uniq").write_text("".join(f"{p}{u} {u}\n" for p in ("", "noise1-") for u in task.alignments))
    target.mkdir()
    arguments = [f"--originals-ali={task.kaldi}/exp/ali", str(data), str(task.kaldi / "lang"), str(system), str(target)]
    assert call("align fmllr", arguments) in (0, None)
    ours = dict(read_int_vectors(target / "ali.1.gz"))
    for utterance, ids in task.alignments.items():
        assert np.array_equal(ours[f"noise1-{utterance}"], ids) == (utterance != shorter)
    assert any(not np.array_equal(ours[u], ids) for u, ids in task.alignments.items())  # originals are aligned
    kaldis = read_transforms(task.fmllr / "sat/gpost_trans")
    copies = {s.removeprefix("noise1-"): m for s, m in read_transforms(target / "trans.1").items() if "-" in s}
    unchanged = [s for s in kaldis if s != read_scp(data / "utt2spk")[shorter]]
    assert_same_transforms({s: copies[s] for s in unchanged}, {s: kaldis[s] for s in unchanged})
    other = tmp_path / "other"
    other.mkdir()
    model, gmms = read_gmm_model(system / "final.mdl")
    write_gmm_model(other / "final.mdl", TransitionModel(model.topology, model.tuples[:-1]), gmms)
    with pytest.raises(HdnnError, match=r"other/final\.mdl is not the model that aligns now"):
        call("align fmllr", [f"--originals-ali={other}", *arguments[1:]])


def test_adapted_features_as_a_data_directory(task: Task, system: Path, tmp_path: Path) -> None:
    (tmp_path / "trans.1").write_bytes((task.fmllr / "sat/trans.1").read_bytes())
    data, prefix = str(task.kaldi / "data/train"), str(tmp_path / "arks" / "feats")
    for job in (1, 2):
        options = [f"--root={task.kaldi}", f"--transform-dir={tmp_path}", "--num-jobs=2", f"--job={job}"]
        assert call("feats fmllr", [*options, data, str(system), prefix]) in (0, None)
    assert call("collect fmllr", ["--num-jobs=2", data, str(tmp_path / "data"), prefix]) in (0, None)
    wanted = task.features(transforms="sat/trans.1")
    found = dict(read_matrices(tmp_path / "data" / "feats.scp"))
    assert list(found) == wanted.utts
    assert all(np.array_equal(matrix, wanted[utterance]) for utterance, matrix in found.items())
    assert len((tmp_path / "data" / "cmvn.scp").read_text().splitlines()) == 3
    with pytest.raises(HdnnError, match=r"3\.scp does not exist"):
        call("collect fmllr", ["--num-jobs=3", data, str(tmp_path / "data"), prefix])


def test_what_does_not_fit_together(task: Task, system: Path, tmp_path: Path) -> None:
    features = task.features()
    with pytest.raises(HdnnError, match=r"columns; splice_opts and final\.mat"):
        features.with_matrix(np.zeros((15, 50)))
    with pytest.raises(HdnnError, match=r"speaker spkB .* has no transform"):
        features.with_transforms({"spkA": np.eye(15, 16)})["spkB-train1"]
    with pytest.raises(HdnnError, match="2 speakers have no transform, such as spkB"):
        open_features(task.kaldi / "data/train", system, task.kaldi, {"spkA": np.eye(15, 16)})
    model = read_gmm_model(system / "final.mdl")[0]
    with pytest.raises(HdnnError, match="transition-ids 5 to 9999"):
        alignment_labels(np.array([5, 9999]), model, SILENCE, 0.0)


def test_a_bad_lattice_is_counted_and_nothing_is_lost(
    task: Task, system: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lattices of another length than the features: the speaker's other utterances still count."""
    caplog.set_level("INFO")
    lattices = dict(read_lattices(task.fmllr / "decode/lat.si.1.gz"))
    with LatticeWriter(f"ark:{tmp_path}/lat") as writer:
        writer.write_lattice("spkB-test1", lattices["spkC-test2"])
        writer.write_lattice("spkB-test2", lattices["spkB-test2"])
    options = [f"--root={task.kaldi}", "--fmllr-min-count=100", "--silence-phones=1:2:3"]
    where = [str(task.kaldi / "data/test"), str(system), f"{tmp_path}/lat"]
    call("gmm fmllr", [*options, *where, f"{tmp_path}/trans"])
    assert set(read_transforms(tmp_path / "trans")) == {"spkB", "spkC"}
    assert "1 utterances, 1 failed, 2 without labels" in caplog.text
    assert "spkC" in caplog.text  # keeps the identity
    assert call("gmm rescore", [options[0], *where, f"ark:{tmp_path}/out"]) in (0, None)
    assert len(dict(read_lattices(tmp_path / "out"))) == 2
    assert "1 lattices rescored, 1 failed" in caplog.text
