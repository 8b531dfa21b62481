"""Subsets of data directories and the split by speaker."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.split import choose_speakers


def write(folder: Path, speakers: int = 5, utterances: int = 4) -> Path:
    """A data directory with two utterances to a recording."""
    folder.mkdir(parents=True)
    names = [(f"s{s}", f"s{s}-u{u}") for s in range(speakers) for u in range(utterances)]
    files = {
        "utt2spk": [f"{u} {s}" for s, u in names],
        "spk2utt": [f"s{s} " + " ".join(f"s{s}-u{u}" for u in range(utterances)) for s in range(speakers)],
        "feats.scp": [f"{u} feats.ark:{i}" for i, (_, u) in enumerate(names)],
        "text": [f"{u} WORD" if i else u for i, (_, u) in enumerate(names)],
        "segments": [f"{u} r-{s}-{int(u[-1]) // 2} 0 1" for s, u in names],
        "wav.scp": [f"r-s{s}-{n} a.wav" for s in range(speakers) for n in range((utterances + 1) // 2)],
        "cmvn.scp": [f"s{s} cmvn.ark:{s}" for s in range(speakers)],
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def test_subset_keeps_only_what_belongs_to_it(tmp_path: Path) -> None:
    data = DataDir(write(tmp_path / "data"))
    data.write_subset(["s3-u1", "s1-u0", "s1-u3"], tmp_path / "part")
    part = {p.name: p.read_text() for p in (tmp_path / "part").iterdir()}
    assert part == {
        "utt2spk": "s1-u0 s1\ns1-u3 s1\ns3-u1 s3\n",
        "spk2utt": "s1 s1-u0 s1-u3\ns3 s3-u1\n",
        "feats.scp": "s1-u0 feats.ark:4\ns1-u3 feats.ark:7\ns3-u1 feats.ark:13\n",
        "text": "s1-u0 WORD\ns1-u3 WORD\ns3-u1 WORD\n",
        "segments": "s1-u0 r-s1-0 0 1\ns1-u3 r-s1-1 0 1\ns3-u1 r-s3-0 0 1\n",
        "wav.scp": "r-s1-0 a.wav\nr-s1-1 a.wav\nr-s3-0 a.wav\n",
        "cmvn.scp": "s1 cmvn.ark:1\ns3 cmvn.ark:3\n",
    }
    with pytest.raises(HdnnError, match="no utterance s9"):
        data.write_subset(["s9"], tmp_path / "part")


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 30), min_size=2, max_size=20),
    st.floats(1, 60),
    st.integers(0, 5),
)
def test_chosen_speakers_come_near_the_share(sizes: dict[str, int], percent: float, seed: int) -> None:
    spk2utts = {s: [f"{s}{i}" for i in range(n)] for s, n in sizes.items()}
    chosen = choose_speakers(spk2utts, percent, seed)
    assert chosen == choose_speakers(spk2utts, percent, seed)
    assert 0 < len(chosen) < len(sizes)
    taken, wanted = sum(sizes[s] for s in chosen), sum(sizes.values()) * percent / 100
    # No speaker could be left out or taken in that would bring the sum nearer, but for the first one.
    for speaker, size in sizes.items():
        if speaker not in chosen and len(chosen) + 1 < len(sizes):
            assert abs(taken + size - wanted) >= abs(taken - wanted)


def test_parts_share_no_speaker_and_lose_no_utterance(tmp_path: Path) -> None:
    data = write(tmp_path / "data", speakers=10)
    call("data split-tr-cv", ["--cv-percent", "20", str(data), str(tmp_path / "tr"), str(tmp_path / "cv")])
    parts = [read_scp(tmp_path / p / "utt2spk") for p in ("tr", "cv")]
    assert not set(parts[0].values()) & set(parts[1].values())
    assert sorted([*parts[0], *parts[1]]) == sorted(read_scp(data / "utt2spk"))
    assert len(parts[1]) == 8


def test_given_list_and_bad_input(tmp_path: Path) -> None:
    data = write(tmp_path / "data")
    (tmp_path / "list").write_text("s0-u0\ns2-u2\n")
    call(
        "data split-tr-cv", ["--cv-list", str(tmp_path / "list"), str(data), str(tmp_path / "tr"), str(tmp_path / "cv")]
    )
    assert list(read_scp(tmp_path / "cv/feats.scp")) == ["s0-u0", "s2-u2"]
    (tmp_path / "list").write_text("nobody\n")
    with pytest.raises(HdnnError, match="nobody"):
        call(
            "data split-tr-cv",
            ["--cv-list", str(tmp_path / "list"), str(data), str(tmp_path / "a"), str(tmp_path / "b")],
        )
    assert not (tmp_path / "a").exists()
    one = [str(write(tmp_path / "one", speakers=1)), str(tmp_path / "a"), str(tmp_path / "b")]
    with pytest.raises(HdnnError, match="one speaker"):
        call("data split-tr-cv", one)
    (tmp_path / "list").write_text("s0-u2\n")
    call("data split-tr-cv", ["--one-speaker", f"--cv-list={tmp_path}/list", *one])
    assert list(read_scp(tmp_path / "b/utt2spk")) == ["s0-u2"]
    for target, other in ((one[0], "data and cv"), (one[1], "(train|cv) and (train|cv)")):
        with pytest.raises(HdnnError, match=f"{other} are one directory, .*, which would be written over"):
            call("data split-tr-cv", ["--one-speaker", one[0], one[1], target])
