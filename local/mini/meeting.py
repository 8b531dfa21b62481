"""One meeting from its plan to its files."""

import json
import random
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from hdnn_nnet.atomic import write_text

from .config import SAMPLE_RATE, Config
from .espeak import Synthesiser
from .headsets import Headset, mix_headsets
from .nxt import Segment, segments_xml, words_xml
from .plan import plan_meeting
from .speech import speak_turn
from .voices import Speaker

FIRST_SECOND = 1.0  # nobody speaks before
LAST_SECONDS = 1.0  # nor at the end
MARGIN_S = (0.02, 0.3)  # a segment begins before its first word and ends after its last by this much
ANNOTATIONS = "ami_public_manual_1.6.2"  # what lhotse's recipe looks for


@dataclass
class Meeting:
    """A meeting as recorded and annotated."""

    headsets: list[Headset]
    segments: list[list[Segment]]  # by agent
    duration: float  # seconds


def record_meeting(config: Config, set_name: str, meeting: str, speakers: list[Speaker]) -> Meeting:
    """Synthesise a meeting. Bit-identical for the same arguments if done first thing in a process."""
    synthesiser = Synthesiser()
    turns = plan_meeting(config, set_name, meeting, speakers)
    rng = random.Random(f"{config.seed} audio {meeting}")
    placed: list[list[tuple[int, np.ndarray]]] = [[] for _ in speakers]
    segments: list[list[Segment]] = [[] for _ in speakers]
    turn_start = turn_end = FIRST_SECOND
    for turn in turns:
        speaker = speakers[turn.agent]
        synthesiser.set_voice(speaker.voice, speaker.rate, speaker.pitch, speaker.pitch_range)
        spoken = speak_turn(turn, synthesiser, config.speech, rng)
        seconds = len(spoken.samples) / SAMPLE_RATE
        start = turn_start + turn.gap * (turn_end - turn_start) if turn.backchannel else turn_end + turn.gap
        own = segments[turn.agent]
        start = max(start, FIRST_SECOND, own[-1].end + 2 * MARGIN_S[1] if own else 0.0)
        start = round(start, 2)  # word times have two decimals
        tokens = [(token, round(start + a, 2), round(start + b, 2)) for token, a, b in spoken.tokens]
        begin = tokens[0][1] - rng.uniform(*MARGIN_S)
        own.append(Segment(round(begin, 3), round(tokens[-1][2] + rng.uniform(*MARGIN_S), 3), tokens))
        loudness = 10 ** (rng.gauss(0, config.speech.turn_level_db) / 20)
        placed[turn.agent].append((round(start * SAMPLE_RATE), spoken.samples * np.float32(loudness)))
        if not turn.backchannel:
            turn_start, turn_end = start, start + seconds
    duration = max(segment.end for own in segments for segment in own) + LAST_SECONDS
    number = 4  # AMI's sync points: even numbers in order of time
    for segment in sorted((s for own in segments for s in own), key=lambda s: (s.start, s.end)):
        segment.number, number = number, number + 2
    voices = [_on_timeline(parts, duration) for parts in placed]
    spans = [[(s.start, s.end) for s in own] for own in segments]
    noise = np.random.default_rng([config.seed, zlib.crc32(meeting.encode())])
    return Meeting(mix_headsets(voices, spans, config.acoustics[set_name], noise), segments, duration)


def write_meeting(config: Config, set_name: str, meeting: str, speakers: list[Speaker], corpus: Path) -> dict:
    """Make a meeting's audio and annotation files, and last its record in `.done`, which is returned."""
    recorded = record_meeting(config, set_name, meeting, speakers)
    stage = (
        corpus / ".partial" / meeting
    )  # the parsers read every file of words/ and segments/: no temporary ones there
    shutil.rmtree(stage, ignore_errors=True)
    audio = stage / "audio"
    audio.mkdir(parents=True)
    for n, headset in enumerate(recorded.headsets):
        samples = np.round(headset.mixture * 32767).astype(np.int16)
        soundfile.write(audio / f"{meeting}.Headset-{n}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
    annotations = corpus / ANNOTATIONS
    for speaker, own in zip(speakers, recorded.segments, strict=True):
        name = f"{meeting}.{speaker.agent}"
        for kind, text in (
            ("words", words_xml(meeting, speaker.agent, own)),
            ("segments", segments_xml(meeting, speaker.agent, speaker.channel, own)),
        ):
            write_text(stage / f"{name}.{kind}.xml", text)
            (annotations / kind).mkdir(parents=True, exist_ok=True)
            (stage / f"{name}.{kind}.xml").replace(annotations / kind / f"{name}.{kind}.xml")
    target = corpus / meeting / "audio"
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    audio.replace(target)
    stage.rmdir()
    record = meeting_record(set_name, recorded, speakers)
    write_text(done_file(corpus, meeting), json.dumps(record, indent=1) + "\n")
    return record


def done_file(corpus: Path, meeting: str) -> Path:
    """Exists when all files of the meeting do."""
    return corpus / ".done" / f"{meeting}.json"


def meeting_record(set_name: str, recorded: Meeting, speakers: list[Speaker]) -> dict:
    """Counts and the drawn acoustic conditions of a meeting."""
    segments = [s for own in recorded.segments for s in own]
    kinds = [token.kind for segment in segments for token, _, _ in segment.tokens]
    return {
        "set": set_name,
        "duration_s": round(recorded.duration, 3),
        "speech_s": round(sum(s.end - s.start for s in segments), 3),
        "segments": len(segments),
        "words": kinds.count("w"),
        "truncated_words": kinds.count("trunc"),
        "vocal_sounds": kinds.count("vocalsound"),
        "speakers": {
            speaker.name: {
                "voice": speaker.voice,
                "pitch": speaker.pitch,
                "rate": speaker.rate,
                "snr_db": round(headset.snr_db, 2),
                "crosstalk_db": [round(a, 2) for a in headset.crosstalk_db],
            }
            for speaker, headset in zip(speakers, recorded.headsets, strict=True)
        },
    }


def _on_timeline(parts: list[tuple[int, np.ndarray]], duration: float) -> np.ndarray:
    line = np.zeros(int(duration * SAMPLE_RATE), dtype=np.float32)
    for offset, samples in parts:
        line[offset : offset + len(samples)] += samples[: len(line) - offset]
    return line
