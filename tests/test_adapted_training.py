"""hdnn train lda-mllt and train sat from alignments to complete directories, and real Kaldi on what they leave."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.affine import identity_transform, read_matrix_file, read_transforms, write_transforms
from hdnn_nnet.gmm.features import open_features, read_speaker_transforms
from hdnn_nnet.gmm.fmllr import FmllrStatistics, add_utterances, estimate_fmllr
from hdnn_nnet.gmm.model import read_gmm_model
from hdnn_nnet.gmm.posteriors import alignment_labels
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.split import split_speakers
from hdnn_nnet.kaldi.symbols import read_integers
from hdnn_nnet.kaldi.tables import read_matrices

PASSES = ["--num-iters=7", "--max-iter-inc=5", "--realign-iters=3 5"]  # blanks between numbers, as in Kaldi's scripts
SIZES = ["40", "80"]


@pytest.fixture(scope="module")
def lang(kaldi_fixture: Path, gmm_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture's lang directory with what the making of a tree needs."""
    lang = tmp_path_factory.mktemp("lang") / "lang"
    shutil.copytree(kaldi_fixture / "lang", lang)
    for path in [lang, *lang.rglob("*")]:
        path.chmod(0o755)
    shutil.copytree(gmm_fixture / "lang_phones", lang / "phones", dirs_exist_ok=True)
    silence = read_integers(lang / "phones/silence.csl")
    if not (lang / "phones/context_indep.csl").exists():
        (lang / "phones/context_indep.csl").write_text(":".join(map(str, silence)) + "\n")
    return lang


@pytest.fixture(scope="module")
def lda(kaldi_fixture: Path, lang: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lda") / "tri3a"
    options = [*PASSES, "--mllt-iters=2,4", "--dim=15", "--nj=2", f"--root={kaldi_fixture}"]
    where = [str(kaldi_fixture / "data/train"), str(lang), str(kaldi_fixture / "exp/ali"), str(directory)]
    assert call("train lda-mllt", [*options, *SIZES, *where]) == 0
    return directory


@pytest.fixture(scope="module")
def sat(kaldi_fixture: Path, lang: Path, lda: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sat") / "tri4a"
    options = [*PASSES, "--fmllr-iters=2,4", f"--root={kaldi_fixture}"]
    where = [str(kaldi_fixture / "data/train"), str(lang), str(lda), str(directory)]
    assert call("train sat", [*options, *SIZES, *where]) == 0
    return directory


def test_lda_mllt_directory(kaldi_fixture: Path, lda: Path) -> None:
    model, gmms = read_gmm_model(lda / "final.mdl")
    assert gmms.dim == 15
    assert 40 < gmms.num_gauss <= 90
    assert read_matrix_file(lda / "final.mat").shape == (15, 91)
    assert read_matrix_file(lda / "full.mat").shape == (91, 91)
    assert (lda / "splice_opts").read_text() == "--left-context=3 --right-context=3\n"
    assert not (lda / "delta_opts").exists()
    for name in ("tree", "cmvn_opts", "phones.txt", "final.occs", "questions.int"):
        assert (lda / name).exists(), name
    alignments = read_alignments(lda)
    assert len(alignments) == 10
    assert max(path.max() for path in alignments.values()) <= model.num_transition_ids
    # The parts are those of Kaldi's split_data.sh.
    spk2utts = DataDir(kaldi_fixture / "data/train").spk2utts
    for job, speakers in enumerate(split_speakers(spk2utts, 2), 1):
        found = [utterance for utterance, _ in read_alignment_part(lda, job)]
        assert found == [utterance for speaker in speakers for utterance in spk2utts[speaker]]


def read_alignment_part(directory: Path, job: int) -> list[tuple[str, np.ndarray]]:
    return list(read_alignments(directory / f"ali.{job}.gz").items())


def test_mllt_raises_the_likelihood(
    kaldi_fixture: Path, lang: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With and without MLLT, one worker or two, no random pruning: MLLT gains, the number of workers changes nothing."""
    caplog.set_level("INFO")
    where = [str(kaldi_fixture / "data/train"), str(lang), str(kaldi_fixture / "exp/ali")]
    common = ["--num-iters=5", "--max-iter-inc=3", "--realign-iters=", "--dim=15", "--randprune=0"]
    final = {}
    for name, options in {"with": ["--nj=1"], "two": ["--nj=2"], "without": ["--nj=1", "--mllt-iters="]}.items():
        caplog.clear()
        arguments = [*common, f"--root={kaldi_fixture}", *options, *SIZES, *where, str(tmp_path / name)]
        assert call("train lda-mllt", arguments) == 0
        final[name] = float(re.findall(r"pass 4: log-likelihood (-[\d.]+)", caplog.text)[-1])
        if name != "without":
            gains = [float(gain) for gain in re.findall(r"pass \d: MLLT, gain ([\d.]+)", caplog.text)]
            assert len(gains) == 2
            assert gains[0] > 0.1
    matrices = {name: read_matrix_file(tmp_path / name / "final.mat") for name in final}
    assert np.allclose(matrices["with"], matrices["two"], rtol=1e-3, atol=1e-4)
    # Log-likelihoods of different features are compared with the determinant of what lies between them.
    between = matrices["with"] @ np.linalg.pinv(matrices["without"])
    assert final["with"] + np.linalg.slogdet(between)[1] > final["without"] + 0.1


def test_sat_directory(kaldi_fixture: Path, lda: Path, sat: Path) -> None:
    for name in ("final.mat", "full.mat", "splice_opts", "cmvn_opts"):
        assert (sat / name).read_bytes() == (lda / name).read_bytes(), name
    _, gmms = read_gmm_model(sat / "final.mdl")
    _, alignment_gmms = read_gmm_model(sat / "final.alimdl")
    assert alignment_gmms.num_gauss == gmms.num_gauss
    assert np.abs(alignment_gmms.means - gmms.means).max() > 0.1
    assert (sat / "num_jobs").read_text() == "2\n"
    transforms = read_speaker_transforms(sat)
    assert list(transforms) == ["spkA", "spkB", "spkC"]
    assert not any(np.allclose(matrix, identity_transform(15), atol=0.05) for matrix in transforms.values())


def test_training_goes_on_from_transforms(
    kaldi_fixture: Path, lang: Path, sat: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With transforms in the alignment directory nothing is estimated at first; they are part of the result."""
    caplog.set_level("INFO")
    options = ["--num-iters=2", "--max-iter-inc=1", "--fmllr-iters=", "--nj=1", f"--root={kaldi_fixture}"]
    where = [str(kaldi_fixture / "data/train"), str(lang), str(sat), str(tmp_path / "more")]
    assert call("train sat", [*options, *SIZES, *where]) == 0
    assert "at first" not in caplog.text
    before, after = read_speaker_transforms(sat), read_speaker_transforms(tmp_path / "more")
    assert all(np.array_equal(before[speaker], after[speaker]) for speaker in before)


def test_too_little_speech_is_counted(
    kaldi_fixture: Path, lang: Path, lda: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    options = ["--num-iters=2", "--max-iter-inc=1", "--fmllr-min-count=700", "--nj=1", f"--root={kaldi_fixture}"]
    where = [str(kaldi_fixture / "data/train"), str(lang), str(lda), str(tmp_path / "sat")]
    assert call("train sat", [*options, *SIZES, *where]) == 0
    assert "2 with too little speech keep the identity (spkB spkC)" in caplog.text
    transforms = read_speaker_transforms(tmp_path / "sat")
    assert np.array_equal(transforms["spkB"], identity_transform(15))


def test_what_does_not_fit(kaldi_fixture: Path, lang: Path, sat: Path, tmp_path: Path) -> None:
    data, root = str(kaldi_fixture / "data/train"), f"--root={kaldi_fixture}"
    other = tmp_path / "other"
    shutil.copytree(sat, other)
    write_transforms(other / "trans.1", {"spkA": identity_transform(15)})
    write_transforms(other / "trans.2", {"spkX": identity_transform(15)})
    with pytest.raises(HdnnError, match="speakers have no transform, such as spkB"):
        call("train sat", [root, *SIZES, data, str(lang), str(other), str(tmp_path / "out")])
    with pytest.raises(HdnnError, match="95 dimensions cannot come from 91"):
        call(
            "train lda-mllt",
            [root, "--dim=95", *SIZES, data, str(lang), str(kaldi_fixture / "exp/ali"), str(tmp_path / "o")],
        )
    (other / "splice_opts").write_text("--left-context=4 --right-context=4\n")
    with pytest.raises(HdnnError, match=r"splice_opts and final\.mat are not those"):
        call("train sat", [root, *SIZES, data, str(lang), str(other), str(tmp_path / "out")])
    assert not (tmp_path / "out" / "final.mdl").exists()


def kaldi(root: Path, program: str, *arguments: str, cwd: Path) -> str:
    """Run a program of Kaldi; gives what it logs. Skips where it is not built."""
    path = next((found for found in (root / "src").glob(f"*bin/{program}") if found.is_file()), None)
    if path is None:
        pytest.skip(f"{program} is not built")
    done = subprocess.run([str(path), *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.kaldi
def test_kaldi_estimates_the_same_transforms(
    kaldi_fixture: Path, sat: Path, lang: Path, kaldi_root: Path, tmp_path: Path
) -> None:
    """ali-to-post, weight-silence-post, gmm-est-fmllr on our directory beside ours on the same."""
    features = open_features(kaldi_fixture / "data/train", sat, kaldi_fixture)
    with_kaldi = dict.fromkeys(features.utts, tmp_path / "feats")
    assert with_kaldi
    from hdnn_nnet.kaldi.matrix_writer import write_matrices

    write_matrices(tmp_path / "feats.ark", tmp_path / "feats.scp", ((u, features[u]) for u in features.utts))
    silence = (lang / "phones/silence.csl").read_text().strip()
    alignments = f"ark:gunzip -c {sat}/ali.1.gz {sat}/ali.2.gz|"
    kaldi(kaldi_root, "ali-to-post", alignments, f"ark:{tmp_path}/post", cwd=tmp_path)
    weigh = ["0.0", silence, str(sat / "final.mdl"), f"ark:{tmp_path}/post", f"ark:{tmp_path}/weighted"]
    kaldi(kaldi_root, "weight-silence-post", *weigh, cwd=tmp_path)
    said = kaldi(
        kaldi_root, "gmm-est-fmllr", f"--spk2utt=ark:{kaldi_fixture}/data/train/spk2utt", str(sat / "final.mdl"),
        f"scp:{tmp_path}/feats.scp", f"ark:{tmp_path}/weighted", f"ark:{tmp_path}/trans", cwd=tmp_path,
    )  # fmt: skip
    model, gmms = read_gmm_model(sat / "final.mdl")
    statistics = {speaker: FmllrStatistics.zeros(15) for speaker in dict.fromkeys(features.utt2spk.values())}
    phones = read_integers(lang / "phones/silence.csl")
    utterances = [
        (features.utt2spk[u], features[u], alignment_labels(ids, model, phones, 0.0)[0])
        for u, ids in read_alignments(sat).items()
    ]
    add_utterances(statistics, gmms, utterances)
    result = estimate_fmllr(statistics)
    for speaker, matrix in read_transforms(tmp_path / "trans").items():
        assert np.abs(result.transforms[speaker] - matrix).max() < 1e-3 * np.abs(matrix).max()
    gain = re.search(r"Overall fMLLR auxf impr per frame is ([\d.]+)", said)
    assert gain is not None
    assert abs(float(gain[1]) - result.gain / result.frames) < 1e-4


@pytest.mark.kaldi
def test_kaldi_takes_our_directory(
    kaldi_fixture: Path, sat: Path, lang: Path, kaldi_root: Path, tmp_path: Path
) -> None:
    """gmm-info; the features of Kaldi's pipe; gmm-latgen-faster on a graph of our tree, as latgen-faster-mapped on ours."""
    for name in ("final.mdl", "final.alimdl"):
        assert "feature dimension 15" in kaldi(kaldi_root, "gmm-info", str(sat / name), cwd=tmp_path)
    data = kaldi_fixture / "data/train"
    chain = [
        ("apply-cmvn", [f"--utt2spk=ark:{data}/utt2spk", f"scp:{data}/cmvn.scp", f"scp:{data}/feats.scp"]),
        ("splice-feats", [*(sat / "splice_opts").read_text().split(), f"ark:{tmp_path}/0"]),
        ("transform-feats", [str(sat / "final.mat"), f"ark:{tmp_path}/1"]),
        (
            "transform-feats",
            [f"--utt2spk=ark:{data}/utt2spk", f"ark:cat {sat}/trans.1 {sat}/trans.2|", f"ark:{tmp_path}/2"],
        ),
    ]
    for number, (program, arguments) in enumerate(chain):
        kaldi(kaldi_root, program, *arguments, f"ark:{tmp_path}/{number}", cwd=kaldi_fixture)
    ours = open_features(data, sat, kaldi_fixture, read_speaker_transforms(sat))
    for utterance, matrix in read_matrices(f"ark:{tmp_path}/3"):
        assert np.allclose(ours[utterance], matrix, atol=1e-3)
    shutil.copytree(lang, tmp_path / "lang")
    assert call("mkgraph", [str(tmp_path / "lang"), str(sat), str(tmp_path / "graph")]) == 0
    graph, search = f"{tmp_path}/graph/HCLG.fst", ["--acoustic-scale=0.083333", "--allow-partial=true"]
    kaldi(kaldi_root, "gmm-latgen-faster", *search, f"{sat}/final.mdl", graph, f"ark:{tmp_path}/3", f"ark:{tmp_path}/lat",
          "ark,t:words", cwd=tmp_path)  # fmt: skip
    transforms = f"--transforms={tmp_path}/all"
    (tmp_path / "all").write_bytes(b"".join((sat / f"trans.{job}").read_bytes() for job in (1, 2)))
    assert call("gmm likes", [transforms, f"--root={kaldi_fixture}", str(sat), str(data), f"ark:{tmp_path}/likes"]) == 0
    kaldi(kaldi_root, "latgen-faster-mapped", *search, f"{sat}/final.mdl", graph, f"ark:{tmp_path}/likes",
          f"ark:{tmp_path}/lat2", "ark,t:words2", cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "words").read_text() == (tmp_path / "words2").read_text()
