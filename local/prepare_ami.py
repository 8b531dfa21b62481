"""Kaldi data directories of the AMI corpus, individual headsets: the genuine corpus or any other in its layout.

Meetings are assigned to sets by lhotse's list of the official full-corpus-asr partition; ids, speakers and files are
those of Kaldi's egs/ami/s5. See docs/data.md for what is kept, dropped and counted.
"""

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_writer import Recording, Utterance, write_data_dir
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option
from local.ami_annotations import Segment, meeting_agents, read_meeting

log = logging.getLogger(__name__)

SETS = {"train": "train", "dev": "dev", "eval": "test"}  # our name to lhotse's
SAMPLE_RATE = 16000
GLM = Path(__file__).resolve().parent / "ami.glm"


def recording_id(meeting: str, channel: int) -> str:
    """`AMI_ES2011a_H00`, as in Kaldi's AMI recipe."""
    return f"AMI_{meeting}_H{channel:02d}"


def as_utterance(segment: Segment) -> Utterance:
    """`AMI_<meeting>_H0<n>_<speaker>_<start>_<end>` with times in centiseconds, rounded half up."""
    recording = recording_id(segment.meeting, segment.channel)
    speaker = f"{recording}_{segment.speaker}"
    start, end = int(100 * segment.start + 0.5), int(100 * segment.end + 0.5)
    return Utterance(f"{speaker}_{start:07d}_{end:07d}", recording, speaker, start, end, segment.text)


def find_audio(audio: Path, odd: Counter[str]) -> dict[tuple[str, int], Path]:
    """Headset recordings below a directory, `<meeting>.Headset-<n>.wav`, by meeting and channel."""
    if not audio.is_dir():
        raise HdnnError(f"{audio} is not a directory; give the one that holds the meetings' folders")
    found: dict[tuple[str, int], Path] = {}
    for path in sorted(audio.rglob("*.Headset-[0-9].wav")):
        key = (path.name.split(".")[0], int(path.stem[-1]))
        if key in found:
            odd["second copy of a recording (first by path is taken)"] += 1
        else:
            found[key] = path.resolve()
    if not found:
        raise HdnnError(f"{audio}: no <meeting>.Headset-<n>.wav below it")
    return found


def duration_of(path: Path) -> float:
    """Seconds of a recording; it must be mono at 16 kHz."""
    import soundfile

    try:
        info = soundfile.info(path)
    except soundfile.SoundFileError as error:
        raise HdnnError(f"{path}: not a readable sound file ({error}); get it again") from error
    if info.channels != 1 or info.samplerate != SAMPLE_RATE:
        raise HdnnError(f"{path}: {info.channels} channels at {info.samplerate} Hz; headsets are mono at {SAMPLE_RATE}")
    return info.frames / info.samplerate


def select(
    segments: Sequence[Segment], durations: dict[tuple[str, int], float] | None, odd: Counter[str]
) -> Iterator[Utterance]:
    """Utterances that have audio, lie inside it, last at least a frame and occur once."""
    seen = set()
    for segment in segments:
        utterance = as_utterance(segment)
        if durations is not None:
            duration = durations.get((segment.meeting, segment.channel))
            if duration is None:
                odd["segment without a recording"] += 1
                continue
            if utterance.end > 100 * duration:
                odd["segment that ends after its recording"] += 1
                continue
        if utterance.end <= utterance.start + 2:
            odd["segment shorter than a frame (25 ms)"] += 1
        elif utterance.id in seen:
            odd["segment annotated twice"] += 1
        else:
            seen.add(utterance.id)
            yield utterance


def without_overlap(utterances: Sequence[Utterance], odd: Counter[str]) -> list[Utterance]:
    """Let an utterance begin no earlier than the one before of the same speaker ends.

    Scoring by time (asclite) needs this. Ids keep the annotated times, as in Kaldi's recipe; an utterance that
    lies wholly inside the one before keeps its times.
    """
    result: list[Utterance] = []
    last: dict[str, int] = {}
    for utterance in sorted(utterances, key=lambda u: (u.speaker, u.start, u.end)):
        begin = last.get(utterance.speaker, 0)
        if utterance.start < begin < utterance.end:
            odd["start moved to the end of the speaker's utterance before"] += 1
            utterance = utterance._replace(start=begin)
        last[utterance.speaker] = max(begin, utterance.end)
        result.append(utterance)
    return result


def read_meetings(
    annotations: Path, meetings: Sequence[str], max_words: int, jobs: int
) -> tuple[list[Segment], Counter[str], Counter[str]]:
    """Segments of the meetings, in the order given, read by `jobs` processes; the rest as by `read_meeting`."""
    agents = meeting_agents(annotations)
    segments: list[Segment] = []
    odd: Counter[str] = Counter()
    annotated: Counter[str] = Counter()
    odd["meeting that meetings.xml does not know"] += sum(meeting not in agents for meeting in meetings)
    meetings = [meeting for meeting in meetings if meeting in agents]
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(read_meeting, annotations, m, agents[m], max_words) for m in meetings]
        for future in futures:
            some, odd_here, annotated_here = future.result()
            segments += some
            odd += odd_here
            annotated += annotated_here
    return segments, odd, annotated


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    directories: tuple[Path, ...] = argument("[<audio-dir>] <annotations-dir> <data-dir>", nargs="+")
    mic: str = option("ihm", "microphones; only ihm (individual headsets) is known", choices=("ihm",))
    nj: int = option(1, "parallel processes", at_least=1)
    max_words_per_segment: int = option(0, "split longer ones at commas; 0: never", at_least=0)
    extra_train_meetings: str = option("", "such as IB4005, which is in no official set")
    annotations_only: bool = option(False, "take all meetings, with or without audio; write no wav.scp")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.directories) != (2 if self.annotations_only else 3):
            raise HdnnError("expected <audio-dir> <annotations-dir> <data-dir>; no <audio-dir> with --annotations-only")


def main(options: Options) -> None:
    """Write `<data-dir>/ihm/{train,dev,eval}`; the table of counts goes to stdout and `<data-dir>/ihm/counts.txt`."""
    *audio_dir, annotations, data_dir = options.directories

    from lhotse.recipes.ami import PARTITIONS

    odd: Counter[str] = Counter()
    audio = find_audio(audio_dir[0], odd) if audio_dir else {}
    durations = {key: duration_of(path) for key, path in audio.items()} if audio_dir else None
    partition = dict(PARTITIONS["full-corpus-asr"])
    partition["train"] = [*partition["train"], *filter(None, options.extra_train_meetings.split(","))]
    known = {meeting for part in SETS.values() for meeting in partition[part]}
    present = {meeting for meeting, _ in audio}
    odd["recording of a meeting outside the partition"] += sum(meeting not in known for meeting, _ in audio)
    if audio_dir and not present & known:
        raise HdnnError(f"{audio_dir[0]}: no meeting of the partition; recordings are named <meeting>.Headset-<n>.wav")

    rows, reasons = [], []
    for name, part in SETS.items():
        meetings = [m for m in partition[part] if not audio_dir or m in present]
        segments, odd_here, annotated = read_meetings(annotations, meetings, options.max_words_per_segment, options.nj)
        odd += odd_here
        utterances = list(select(segments, durations, odd))
        if name != "train":
            utterances = without_overlap(utterances, odd)
        if not utterances:
            log.warning("set %s is empty: none of its meetings has both audio and annotations", name)
            continue
        keys = sorted({(s.meeting, s.channel) for s in segments})
        recordings = [
            Recording(recording_id(meeting, channel), audio.get((meeting, channel)), f"{meeting}.Headset-{channel}")
            for meeting, channel in keys
        ]
        directory = data_dir / options.mic / name
        write_data_dir(directory, utterances, recordings)
        write_text(directory / "glm", GLM.read_text(encoding="utf-8"))
        words = sum(len(u.text.split()) for u in utterances)
        hours = sum(u.end - u.start for u in utterances) / 360000
        speakers = len({u.speaker for u in utterances})
        rows.append(f"{name:<6}{len(meetings):>9}{speakers:>9}{len(utterances):>10}{words:>9}{hours:>8.2f}")
        reasons.append(
            f"{name}: {len(utterances)} segments are the {annotated['segments']} annotated ones, split at full stops; "
            f"{words} words are the {annotated['words']} annotated ones, where letters of D_V_D_ and parts of TWENTY-FIVE count"
        )
    if not rows:
        raise HdnnError(f"{annotations}: no utterance in any set; are these the annotations of this audio?")
    table = [f"{'set':<6}{'meetings':>9}{'speakers':>9}{'segments':>10}{'words':>9}{'hours':>8}", *rows]
    report = (
        "\n".join(table + reasons + [f"odd: {count} x {kind}" for kind, count in sorted(odd.items()) if count]) + "\n"
    )
    write_text(data_dir / options.mic / "counts.txt", report)
    sys.stdout.write(report)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # lhotse brings torch; the work is in processes, not threads
    script(Options, main, "prepare_ami.py", __doc__ or "")
