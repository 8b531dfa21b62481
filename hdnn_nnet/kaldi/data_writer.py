"""Writing Kaldi data directories: utterances in, sorted files out."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import byte_order


class Utterance(NamedTuple):
    """One line of segments, text and utt2spk; times in centiseconds."""

    id: str
    recording: str
    speaker: str
    start: int
    end: int
    text: str


class Recording(NamedTuple):
    """One line of wav.scp (`path` is None where there is no audio) and of reco2file_and_channel."""

    id: str
    path: Path | None
    file: str
    channel: str = "A"


def _write_table(path: Path, rows: Iterable[str]) -> None:
    write_text(path, "".join(row + "\n" for row in sorted(rows, key=byte_order)))


def write_data_dir(directory: Path, utterances: Sequence[Utterance], recordings: Iterable[Recording]) -> None:
    """Write wav.scp (if all recordings have audio), segments, text, utt2spk, spk2utt, reco2file_and_channel and stm.

    Recordings without utterances are left out. Speakers must be prefixes of their utterances' ids, so that
    utterances and speakers sort alike; all files are in byte order.
    """
    used = {utterance.recording for utterance in utterances}
    table = {recording.id: recording for recording in recordings if recording.id in used}
    by_speaker: dict[str, list[str]] = {}
    for utterance in utterances:
        if not utterance.id.startswith(utterance.speaker):
            raise HdnnError(f"{directory}: speaker {utterance.speaker} is not a prefix of utterance {utterance.id}")
        by_speaker.setdefault(utterance.speaker, []).append(utterance.id)

    if all(recording.path for recording in table.values()):
        for recording in table.values():
            if any(character.isspace() for character in str(recording.path)):
                raise HdnnError(f"{recording.path}: Kaldi cannot read a path with spaces; move or link the corpus")
        _write_table(directory / "wav.scp", (f"{r.id} {r.path}" for r in table.values()))
    else:
        (directory / "wav.scp").unlink(missing_ok=True)
    _write_table(directory / "reco2file_and_channel", (f"{r.id} {r.file} {r.channel}" for r in table.values()))
    _write_table(directory / "segments", (f"{u.id} {u.recording} {_seconds(u)}" for u in utterances))
    _write_table(directory / "text", (f"{u.id} {u.text}" for u in utterances))
    _write_table(directory / "utt2spk", (f"{u.id} {u.speaker}" for u in utterances))
    _write_table(
        directory / "spk2utt", (f"{s} {' '.join(sorted(ids, key=byte_order))}" for s, ids in by_speaker.items())
    )
    # sclite wants the lines of one file and channel together and in order of time.
    lines = sorted(
        utterances, key=lambda u: (byte_order(table[u.recording].file), table[u.recording].channel, u.start, u.end)
    )
    write_text(directory / "stm", "".join(_stm_line(u, table[u.recording]) for u in lines))


def _seconds(utterance: Utterance) -> str:
    return f"{utterance.start / 100:.2f} {utterance.end / 100:.2f}"


def _stm_line(utterance: Utterance, recording: Recording) -> str:
    return f"{recording.file} {recording.channel} {utterance.speaker} {_seconds(utterance)} {utterance.text}\n"
