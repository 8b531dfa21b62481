"""Alignments and counts against Kaldi's own conversions."""

import gzip
import shutil
import subprocess
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import (
    alignment_files,
    read_alignments,
    read_counts,
    read_pdf_alignments,
    write_alignments,
    write_counts,
)
from hdnn_nnet.kaldi.tables import read_int_vectors, read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel


def _text(path: Path) -> dict[str, list[int]]:
    return {line.split()[0]: [int(word) for word in line.split()[1:]] for line in path.read_text().splitlines()}


@pytest.fixture(scope="module")
def model(kaldi_fixture: Path) -> TransitionModel:
    return TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl")


@pytest.mark.parametrize("name", ["ali", "ali_test"])
def test_ali_to_pdf_and_phones(kaldi_fixture: Path, model: TransitionModel, name: str) -> None:
    directory = kaldi_fixture / "exp" / name
    pdfs = read_pdf_alignments(directory, model)
    assert {key: value.tolist() for key, value in pdfs.items()} == _text(directory / "ali_pdf.txt")
    assert all(value.dtype == np.int32 for value in pdfs.values())
    ids = read_alignments(directory)
    assert {key: value.tolist() for key, value in ids.items()} == _text(directory / "ali.txt")
    phones = {key: model.tid_to_phone[value].tolist() for key, value in ids.items()}
    assert phones == _text(directory / "ali_phones_per_frame.txt")


def test_rspecifiers(kaldi_fixture: Path) -> None:
    directory = kaldi_fixture / "exp/ali"
    expected = _text(directory / "ali.txt")
    for where in (directory / "ali.1.gz", f"ark:{directory}/ali.txt", f"ark,s,cs:gunzip -c {directory}/ali.1.gz |"):
        assert {key: value.tolist() for key, value in read_alignments(where).items()} == expected


def test_counts(kaldi_fixture: Path, model: TransitionModel, tmp_path: Path) -> None:
    """analyze-counts adds 0.5 to every pdf."""
    kaldi = read_counts(kaldi_fixture / "exp/ali/ali_train_pdf.counts")
    pdfs = read_pdf_alignments(kaldi_fixture / "exp/ali", model).values()
    counts = np.bincount(np.concatenate([*pdfs]), minlength=model.num_pdfs)
    np.testing.assert_array_equal(counts + 0.5, kaldi)
    write_counts(tmp_path / "counts", kaldi)
    assert (tmp_path / "counts").read_bytes() == (kaldi_fixture / "exp/ali/ali_train_pdf.counts").read_bytes()
    write_counts(tmp_path / "counts", np.array([123456789012, 0]))
    assert (tmp_path / "counts").read_text() == " [ 123456789012 0 ]\n"


@pytest.mark.parametrize("text", ["", "1 2 3", "[ ]", "[ 1 x ]", "[ 1 -2 ]", "[ nan ]"])
def test_bad_counts(tmp_path: Path, text: str) -> None:
    (tmp_path / "counts").write_text(text)
    with pytest.raises(HdnnError, match="counts"):
        read_counts(tmp_path / "counts")


@settings(max_examples=40, deadline=None)
@given(
    alignments=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12),
        st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50),
        min_size=1,
        max_size=6,
    ),
    suffix=st.sampled_from([".gz", ".ark"]),
)
def test_round_trip(tmp_path_factory, alignments: dict[str, list[int]], suffix: str) -> None:
    path = tmp_path_factory.mktemp("ali") / f"ali.1{suffix}"
    assert write_alignments(path, {key: np.array(v, dtype=np.int32) for key, v in alignments.items()}) == len(
        alignments
    )
    again = read_alignments(path)
    assert {key: value.tolist() for key, value in again.items()} == alignments
    assert list(again) == list(alignments)
    if suffix == ".ark" and all(alignments.values()):
        assert {key: value.tolist() for key, value in kaldiio.load_ark(str(path))} == alignments


def _directory(kaldi_fixture: Path, tmp_path: Path) -> Path:
    for name in ("ali.1.gz", "num_jobs"):
        shutil.copy(kaldi_fixture / "exp/ali" / name, tmp_path / name)
        (tmp_path / name).chmod(0o644)
    return tmp_path


def test_jobs_are_counted(kaldi_fixture: Path, tmp_path: Path) -> None:
    directory = _directory(kaldi_fixture, tmp_path)
    assert alignment_files(directory) == [directory / "ali.1.gz"]
    (directory / "num_jobs").write_text("2\n")
    with pytest.raises(HdnnError, match=r"num_jobs says 2.*ali\.2\.gz"):
        read_alignments(directory)
    shutil.copy(directory / "ali.1.gz", directory / "ali.2.gz")
    with pytest.raises(HdnnError, match="aligned twice"):
        read_alignments(directory)
    (directory / "num_jobs").write_text("1\n")
    with pytest.raises(HdnnError, match=r"ali\.2\.gz"):
        read_alignments(directory)
    (directory / "num_jobs").unlink()
    with pytest.raises(HdnnError, match="num_jobs does not exist"):
        read_alignments(directory)


def test_damaged(kaldi_fixture: Path, tmp_path: Path, model: TransitionModel) -> None:
    directory = _directory(kaldi_fixture, tmp_path)
    whole = (directory / "ali.1.gz").read_bytes()
    (directory / "ali.1.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HdnnError, match=r"ali\.1\.gz.*truncated"):
        read_alignments(directory)
    write_alignments(directory / "ali.1.gz", {"a": np.array([1, 757])})
    with pytest.raises(HdnnError, match=r"utterance a.*1 to 756"):
        read_pdf_alignments(directory, model)
    with pytest.raises(HdnnError, match="the command failed"):
        read_alignments(f"ark:gunzip -c {directory}/missing.gz | cat |")
    data = gzip.decompress((directory / "ali.1.gz").read_bytes())
    (directory / "ali.ark").write_bytes(data[:-3])
    with pytest.raises(HdnnError, match=r"ali\.ark.*after the start"):
        read_alignments(directory / "ali.ark")


@pytest.mark.kaldi
def test_kaldi_reads_ours(kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path) -> None:
    write_alignments(tmp_path / "ali.1.gz", read_alignments(kaldi_fixture / "exp/ali"))
    program = f"{kaldi_root}/src/bin/ali-to-pdf"
    command = [program, f"{kaldi_fixture}/exp/tri/final.mdl", f"ark:gunzip -c {tmp_path}/ali.1.gz|", "ark,t:-"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == (kaldi_fixture / "exp/ali/ali_pdf.txt").read_text()


def test_tables_notice_what_a_pipe_hides(kaldi_fixture: Path, tmp_path: Path) -> None:
    """A missing file, a failing command and one that fails after good entries; kaldiio reads them as an empty table."""
    ark = kaldi_fixture / "exp/nnet/feats_cmvn_one.ark"
    ((key, matrix),) = read_matrices(ark)
    assert matrix.shape[1] == 13
    assert [name for name, _ in read_matrices(f"ark:cat {ark} |")] == [key]
    (tmp_path / "copy.ark.gz").write_bytes(gzip.compress(ark.read_bytes()))
    assert [name for name, _ in read_matrices(tmp_path / "copy.ark.gz")] == [key]
    for where, message in (
        (tmp_path / "missing.gz", r"missing\.gz"),
        ("ark:false |", "the command failed"),
        (f"ark:false | cat {ark} - |", "the command failed"),
    ):
        with pytest.raises(HdnnError, match=message):
            list(read_matrices(where))
        with pytest.raises(HdnnError, match=message):
            list(read_int_vectors(where))
    for _ in read_matrices(f"ark:cat {ark} {ark} {ark} {ark} {ark} {ark} {ark} {ark} {ark} |"):
        break  # stopping early is no error, and does not hang
