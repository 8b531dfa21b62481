"""Triphone training: `hdnn train deltas` and its parts, and real Kaldi on its output."""

import gzip
import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.align.aligner import GraphCompiler
from hdnn_nnet.align.options import AlignOptions
from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm import aligner as gmm_aligner
from hdnn_nnet.gmm.em import BLOCK_FRAMES, block_frames
from hdnn_nnet.gmm.features import open_features
from hdnn_nnet.gmm.model import read_gmm_model
from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_DELTAS, TriphoneOptions
from hdnn_nnet.gmm.triphones import read_source
from hdnn_nnet.kaldi.alignments import read_alignments, write_alignments
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.lang.transcripts import Transcripts

SHORT = ["--num-iters=9", "--max-iter-inc=6", "--realign-iters=4,7", "--retry-beam=200"]


@pytest.fixture(scope="module")
def lang(kaldi_fixture: Path, gmm_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture's lang directory with what tree building needs."""
    lang = tmp_path_factory.mktemp("lang") / "lang"
    shutil.copytree(kaldi_fixture / "lang", lang)
    for path in [lang, *lang.rglob("*")]:
        path.chmod(0o755)
    for path in (gmm_fixture / "lang_phones").iterdir():
        shutil.copy(path, lang / "phones")
    return lang


@pytest.fixture(scope="module")
def trained(lang: Path, kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tri") / "tri1"
    data, ali = kaldi_fixture / "data/train", kaldi_fixture / "exp/ali"
    words = [*SHORT, "--nj=2", f"--root={kaldi_fixture}", "60", "120", str(data), str(lang), str(ali), str(target)]
    assert call("train deltas", words) == 0
    return target


def test_directory(trained: Path, kaldi_fixture: Path) -> None:
    """What Kaldi's scripts look for is there, and fits together."""
    for name in ("final.mdl", "final.occs", "phones.txt", "questions.int", "questions.qst", "cmvn_opts", "ali.2.gz"):
        assert (trained / name).stat().st_size > 0, name
    assert (trained / "num_jobs").read_text() == "2\n"
    model, gmms = read_gmm_model(trained / "final.mdl")
    tree = ContextDependency.read(trained / "tree")
    assert tree.context_width == 3
    assert tree.num_pdfs == gmms.num_pdfs == model.num_pdfs
    assert gmms.num_pdfs < gmms.num_gauss <= 120
    alignments = read_alignments(trained)
    assert sorted(alignments) == sorted(read_scp(kaldi_fixture / "data/train/text"))
    assert max(path.max() for path in alignments.values()) <= model.num_transition_ids


def test_one_process_or_more(lang: Path, kaldi_fixture: Path, trained: Path, tmp_path: Path) -> None:
    """Another number of processes than the alignment directory has parts: the same model but for the order of sums."""
    data, ali = kaldi_fixture / "data/train", kaldi_fixture / "exp/ali"
    words = [*SHORT, f"--root={kaldi_fixture}", "60", "120", str(data), str(lang), str(ali), str(tmp_path / "one")]
    assert call("train deltas", words) == 0
    assert (tmp_path / "one/num_jobs").read_text() == "1\n"
    assert (tmp_path / "one/tree").read_bytes() == (trained / "tree").read_bytes()
    (_, one), (_, two) = (read_gmm_model(where / "final.mdl") for where in (tmp_path / "one", trained))
    np.testing.assert_allclose(one.means, two.means, rtol=1e-4, atol=1e-3)


def test_likelihood_rises(lang: Path, kaldi_fixture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, ali = kaldi_fixture / "data/train", kaldi_fixture / "exp/ali"
    words = [*SHORT, f"--root={kaldi_fixture}", "60", "120", str(data), str(lang), str(ali), str(tmp_path / "tri")]
    with caplog.at_level(logging.INFO):
        call("train deltas", words)
    lines = [line for line in caplog.messages if "log-likelihood" in line and line.startswith("pass")]
    values = [float(line.split("log-likelihood ")[1].split()[0]) for line in lines]
    assert len(values) == 8
    assert values[-1] > values[0] + 1


def test_mixtures_on_the_way(kaldi_fixture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alignments are the same, whether all mixtures are computed or those that the search comes by."""
    model, gmms = read_gmm_model(kaldi_fixture / "exp/tri/final.mdl")
    tree = ContextDependency.read(kaldi_fixture / "exp/tri/tree")
    reader = open_features(kaldi_fixture / "data/train", kaldi_fixture / "exp/tri", kaldi_fixture)
    compiler, transcripts = GraphCompiler(model, tree, kaldi_fixture / "lang"), Transcripts(kaldi_fixture / "lang")
    whole = gmm_aligner.GmmAligner(model, tree, gmms, AlignOptions())
    monkeypatch.setattr(gmm_aligner, "FEW_PDFS", 0)
    some = gmm_aligner.GmmAligner(model, tree, gmms, AlignOptions())
    for utterance, text in read_scp(kaldi_fixture / "data/train/text").items():
        graph = compiler.compile(transcripts.numbers(text))
        one, other = (aligner(utterance, graph, reader[utterance]) for aligner in (whole, some))
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one, other)
    with pytest.raises(HdnnError, match="13 dimensions for a GMM of 39"):
        some("x", graph, reader[utterance][:, :13])
    with pytest.raises(HdnnError, match="utterance x: NaN or infinity"):
        some("x", graph, np.full((50, 39), np.nan, np.float32))


def test_blocks_grow_with_the_pdfs() -> None:
    assert block_frames(137) == BLOCK_FRAMES
    assert BLOCK_FRAMES < block_frames(1000) < block_frames(100000) == 10 * BLOCK_FRAMES


def test_window_options() -> None:
    with pytest.raises(HdnnError, match="--central-position 3 is outside the window of --context-width 3"):
        TriphoneOptions(central_position=3)


def test_alignments_that_do_not_fit(
    lang: Path, kaldi_fixture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Other lengths than the features are counted and left out; nothing at all, or other phones, are errors."""
    ali = tmp_path / "ali"
    shutil.copytree(kaldi_fixture / "exp/ali", ali)
    for path in [ali, *ali.iterdir()]:
        path.chmod(0o755)
    reader = FeatureReader(kaldi_fixture / "data/train", DEFAULT_CMVN, DEFAULT_DELTAS, root=kaldi_fixture)
    alignments = read_alignments(ali)
    first = next(iter(alignments))
    write_alignments(ali / "ali.1.gz", alignments | {first: alignments[first][:-1]})
    assert first not in read_source(ali, lang, reader).alignments
    assert "1 alignments have another length" in caplog.text
    write_alignments(ali / "ali.1.gz", {utterance: path[:-1] for utterance, path in alignments.items()})
    with pytest.raises(HdnnError, match="no alignment fits the features"):
        read_source(ali, lang, reader)
    write_alignments(ali / "ali.1.gz", alignments | {first: np.full_like(alignments[first], 99999)})
    with pytest.raises(HdnnError, match=r"transition-id 99999 is not in .*final\.mdl"):
        read_source(ali, lang, reader)
    (ali / "phones.txt").write_text((ali / "phones.txt").read_text() + "NEW 500\n")
    with pytest.raises(HdnnError, match=r"phones\.txt differ"):
        read_source(ali, lang, reader)


def test_lang_of_other_phones(lang: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    """One line that names the file."""
    data, ali = kaldi_fixture / "data/train", kaldi_fixture / "exp/ali"
    other = tmp_path / "lang"
    shutil.copytree(lang, other)
    words = [*SHORT, f"--root={kaldi_fixture}", "60", "120", str(data), str(other), str(ali), str(tmp_path / "tri")]
    for name, text, message in (
        ("extra_questions.int", "1 2\n4 300\n", r"extra_questions\.int asks about phone 300"),
        ("roots.int", "shared split 1 2 3\n", r"roots\.int: phone \d+ has statistics, but no root"),
        ("sets.int", "1 2 3\n300\n", r"sets\.int asks about phone 300"),
    ):
        before = (other / "phones" / name).read_text()
        (other / "phones" / name).write_text(text)
        with pytest.raises(HdnnError, match=message):
            call("train deltas", words)
        (other / "phones" / name).write_text(before)


@pytest.mark.kaldi
def test_kaldi_takes_the_directory(
    trained: Path, lang: Path, kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path
) -> None:
    """Kaldi reads model and tree, and by them aligns as we do."""
    programs = kaldi_root / "src"
    for name in ("gmmbin/gmm-info", "bin/show-alignments", "bin/compile-train-graphs", "gmmbin/gmm-align-compiled"):
        if not (programs / name).exists():
            pytest.skip(f"needs Kaldi's {name}")
    tree = ContextDependency.read(trained / "tree")

    def run(command: str) -> str:
        path = f"{programs}/bin:{programs}/gmmbin:{programs}/featbin:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=kaldi_fixture, env={"PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"number of pdfs {tree.num_pdfs}\n" in run(f"gmm-info {trained}/final.mdl")
    assert f"num-pdfs {tree.num_pdfs}\n" in run(f"tree-info {trained}/tree")
    shown = run(f"show-alignments {lang}/phones.txt {trained}/final.mdl 'ark:gunzip -c {trained}/ali.*.gz |'")
    assert all(utterance in shown for utterance in read_alignments(trained))
    transcripts = Transcripts(lang)
    texts = read_scp(kaldi_fixture / "data/train/text")
    lines = (f"{u} {' '.join(map(str, transcripts.numbers(text)))}\n" for u, text in texts.items())
    (tmp_path / "text.int").write_text("".join(lines))
    run(
        f"compile-train-graphs --read-disambig-syms={lang}/phones/disambig.int {trained}/tree {trained}/final.mdl "
        f"{lang}/L.fst ark:{tmp_path}/text.int ark:{tmp_path}/fsts"
    )
    cmvn = "apply-cmvn --utt2spk=ark:data/train/utt2spk scp:data/train/cmvn.scp scp:data/train/feats.scp ark:-"
    scales = "--transition-scale=1.0 --acoustic-scale=0.1 --self-loop-scale=0.1 --beam=10 --retry-beam=200"
    run(
        f"gmm-align-compiled {scales} {trained}/final.mdl ark:{tmp_path}/fsts 'ark:{cmvn} | add-deltas ark:- ark:- |' "
        f"ark:{tmp_path}/ali"
    )
    words = ["--retry-beam=200", f"--root={kaldi_fixture}", str(kaldi_fixture / "data/train"), str(lang), str(trained)]
    (tmp_path / "ours").mkdir()
    assert call("align gmm", [*words, str(tmp_path / "ours")]) == 0
    ours = dict(read_alignments(tmp_path / "ours/ali.1.gz"))
    for utterance, path in read_alignments(tmp_path / "ali").items():
        np.testing.assert_array_equal(ours[utterance], path)
    with gzip.open(trained / "ali.1.gz") as file:
        assert file.read(1)
