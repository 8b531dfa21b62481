"""What is announced, used and left out, in every program that trains."""

from pathlib import Path

import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.train import word_numbers
from hdnn_nnet.kaldi.accounting import Accounting, announced_utterances
from hdnn_nnet.lang.transcripts import read_transcripts


def test_reasons(caplog: pytest.LogCaptureFixture) -> None:
    account = Accounting("data", [f"u{n}" for n in range(10)])
    account.require("without features", [f"u{n}" for n in range(1, 12)])
    account.leave_out("too long", ["u0", "u3", "elsewhere"])
    assert account.left_out == {"without features": ["u0"], "too long": ["u3"]}
    account.close(0.2, "mend it")
    assert "data: 8 of 10 utterances usable; 1 without features (u0); 1 too long (u3)" in caplog.text
    with pytest.raises(HdnnError, match=r"more than the allowed share of 0\.1: mend it"):
        account.close(0.1, "mend it")
    empty = Accounting("data", ["a"])
    empty.require("gone", [])
    with pytest.raises(HdnnError, match="0 of 1 "):
        empty.close(1.0, "mend it")


@pytest.fixture
def lost(kaldi_fixture: Path, tmp_path: Path) -> Path:
    """The fixture's training data, of whose feats.scp the second half was lost."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("utt2spk", "spk2utt", "text", "cmvn.scp", "feats.scp"):
        (data / name).write_bytes((kaldi_fixture / "data/train" / name).read_bytes())
    lines = (data / "feats.scp").read_text().splitlines(keepends=True)
    (data / "feats.scp").write_text("".join(lines[: len(lines) // 2]))
    return data


def test_lost_lines_of_feats_scp(
    lost: Path, kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kaldi_fixture)
    whole = announced_utterances("data/train")
    assert announced_utterances(lost) == whole
    reader = FeatureReader(lost)
    assert len(reader) < len(whole) == len(reader.announced)
    with pytest.raises(HdnnError, match=rf"{len(reader)} of {len(whole)} utterances usable; .* without features"):
        word_numbers(reader, read_transcripts(lost), kaldi_fixture / "lang")
    common = ["--device", "cpu", "--network", "hdnn-h8l2", "--max-iters", "1"]
    with pytest.raises(HdnnError, match="without features"):
        call("train ce", [*common, str(lost), "data/test", "exp/ali", "exp/ali_test", str(tmp_path / "m")])
    with pytest.raises(HdnnError, match="are missing"):
        call("check utterances", [str(lost), str(lost / "feats.scp")])
