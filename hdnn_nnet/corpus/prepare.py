"""Utterances of any source as a Kaldi data directory: text normalised, audio decoded and measured, all counted."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.corpus.items import Item, LeftOut, tidy
from hdnn_nnet.corpus.normalise import Normaliser, NotPlain
from hdnn_nnet.corpus.options import PrepareOptions
from hdnn_nnet.corpus.quality import Quality, advice, measure
from hdnn_nnet.corpus.sounds import (
    SHORTEST,
    TOO_SHORT,
    Sound,
    decode,
    keep_decoded,
    look_at_all,
    readable_by_kaldi,
    samples_of,
)
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.copies import UTT2UNIQ
from hdnn_nnet.kaldi.data_dir import ALIGNED_FRAMES, byte_order
from hdnn_nnet.text import words

log = logging.getLogger(__name__)

_MEASURED_TOGETHER = 5.0  # seconds of one speaker: the spectrum of a single word says little
_OVERSHOOT = 0.5  # seconds that a segment may end after its recording, as in Kaldi's extract-segments
WAV_DIR = "wav"


@dataclass(frozen=True)
class Prepared:
    """What became of a set.

    Attributes:
        rate: samples a second of its audio now.
        seconds: speech of all utterances.
        qualities: measures of the sample.
    """

    utterances: int
    speakers: int
    words: int
    seconds: float
    rate: int
    qualities: tuple[Quality, ...]

    def line(self) -> str:
        return (
            f"{self.utterances} utterances, {self.speakers} speakers, {self.words} words, {self.seconds / 3600:.2f} hours, "
            f"{self.rate} samples a second"
        )


def prepare(items: Iterable[Item], target: Path, options: PrepareOptions, left_out: LeftOut, where: str) -> Prepared:
    """Write wav.scp, segments (where utterances share recordings), text, utt2spk, spk2utt and `prepared.txt`.

    Args:
        left_out: what the source has left out already.
        where: names the source in messages.

    Raises:
        HdnnError: nothing or too little is left, two utterances of one name, or texts with digits that are refused.
    """
    found = list(items)
    total = len(found) + left_out.counts.total()
    if not total:
        raise HdnnError(f"{where} has no utterance")
    _check_names(found)
    normaliser = Normaliser(options.digits, options.language)
    found = _normalise(found, normaliser, options, left_out)
    sounds = look_at_all(sorted({item.audio for item in found}), options.nj)
    found = _usable(found, sounds, left_out)
    left_out.check(total, options.max_left_out, where)
    rate = options.rate or common_rate([sounds[item.audio] for item in found])
    seconds = {item.key: _seconds(item, sounds[item.audio]) for item in found}
    found = _decode_all(found, sounds, rate, target, options.nj, left_out)
    left_out.report()
    left_out.check(total, options.max_left_out, where)
    qualities = tuple(measure_sample(found, seconds, options.measure, options.nj))
    _write(found, target)
    count = sum(len(words(item.text)) for item in found)
    speech = sum(seconds[item.key] for item in found)
    result = Prepared(len(found), len({i.speaker for i in found}), count, speech, rate, qualities)
    lines = [
        result.line(),
        normaliser.report() if options.texts == "normalise" else "texts as they are",
        *(f"left out: {n} x {reason}" for reason, n in left_out.counts.items()),
    ]
    lines += [f"audio: {line}" for line in advice(qualities, rate)] or ["audio: nothing to complain of"]
    write_text(target / "prepared.txt", "".join(line + "\n" for line in lines))
    for line in lines:
        log.info("%s: %s", target, line)
    return result


def _check_names(items: Sequence[Item]) -> None:
    """Names must stay apart when odd signs have become `_`.

    Raises:
        HdnnError: two utterances, or two speakers, would be one.
    """
    seen: dict[str, Item] = {}
    speakers: dict[str, str] = {}
    for item in items:
        name = item.speaker if item.id else tidy(item.speaker)
        if speakers.setdefault(name, item.speaker) != item.speaker:
            raise HdnnError(
                f"{item.where}: speakers {speakers[name]!r} and {item.speaker!r} would both be {name}; rename one"
            )
        other = seen.setdefault(item.key, item)
        if other is not item:
            raise HdnnError(f"{other.where} and {item.where} would both be utterance {item.key}; rename or remove one")


def _normalise(items: Sequence[Item], rule: Normaliser, options: PrepareOptions, left_out: LeftOut) -> list[Item]:
    """Items whose text has words, normalised.

    Raises:
        HdnnError: texts with digits or signs that are read aloud, unless these are left out or spelled.
    """
    kept, refused = [], []
    for item in items:
        try:
            text = rule(item.text) if options.texts == "normalise" else " ".join(words(item.text))
        except NotPlain as sign:
            refused.append(f"{str(sign)!r} in {item.where}")
            if options.digits == "leave-out":
                left_out.add("text with digits or signs that are read aloud", refused[-1])
            continue
        if text:
            kept.append(replace(item, text=text))
        else:
            left_out.add("empty text", item.where)
    if refused and options.digits != "leave-out":
        raise HdnnError(
            f"{len(refused)} of {len(items)} texts have digits or signs whose reading is not known, such as {refused[0]}: write "
            "them in words, or give --digits spell (numbers by num2words), or --digits leave-out"
        )
    return kept


def _usable(items: Sequence[Item], sounds: dict[str, Sound], left_out: LeftOut) -> list[Item]:
    """Items whose recording is a sound and long enough for them."""
    kept = []
    for item in items:
        sound = sounds[item.audio]
        problem = sound.problem
        if not problem and item.end is not None and item.end > sound.seconds + _OVERSHOOT:
            problem = "utterance that ends after its recording"
        elif not problem and (item.start or 0.0) >= sound.seconds:
            problem = "utterance that begins after its recording"
        elif not problem and _seconds(item, sound) < SHORTEST - 1e-6:
            problem = TOO_SHORT
        if not problem and (item.channel or 0) >= sound.channels:
            problem = "recording without the channel that is asked for"
        if problem:
            left_out.add(problem, f"{item.audio} ({item.where})" if item.audio != item.where else item.where)
        else:
            kept.append(item)
    return kept


def common_rate(sounds: Sequence[Sound]) -> int:
    """16000, or 8000 where more than half of the audio (by time) has fewer than 16000 samples a second."""
    low = sum(sound.seconds for sound in sounds if sound.rate < 16000)
    return 8000 if 2 * low > sum(sound.seconds for sound in sounds) else 16000


def _seconds(item: Item, sound: Sound) -> float:
    end = sound.seconds if item.end is None else min(item.end, sound.seconds)
    return end - (item.start or 0.0)


def _decode_all(
    items: Sequence[Item], sounds: dict[str, Sound], rate: int, target: Path, jobs: int, left_out: LeftOut
) -> list[Item]:
    """Items whose audio is 16-bit mono WAV at `rate`: as it is, or decoded to `<target>/wav/`, once for each channel in use."""
    wanted: dict[tuple[str, int], Path] = {}
    names: set[str] = set()
    for item in items:
        sound, place = sounds[item.audio], (item.audio, item.channel or 0)
        plain = sound.plain and sound.rate == rate and sound.channels == 1 and readable_by_kaldi(item.audio)
        if place in wanted or plain:
            continue
        name = tidy(item.recording or item.key) + (f".{item.channel}" if item.channel else "")
        while name in names:
            name += "_"
        names.add(name)
        wanted[place] = (target / WAV_DIR / f"{name}.wav").resolve()
    if wanted:
        hours = sum(sounds[audio].seconds for audio, _ in wanted) / 3600
        log.info("%s: decoding %d recordings (%.2f hours, %.0f MB)", target, len(wanted), hours, hours * rate * 7.2e-3)
    keep_decoded(wanted, rate, target / WAV_DIR)
    with ThreadPoolExecutor(jobs) as pool:
        problems = list(pool.map(lambda pair: decode(pair[0][0], pair[0][1], rate, pair[1]), wanted.items()))
    failed = {place: problem for place, problem in zip(wanted, problems, strict=True) if problem}
    kept: list[Item] = []
    converted: Counter[str] = Counter()
    for item in items:
        place = (item.audio, item.channel or 0)
        if place in failed:
            left_out.add(failed[place], item.audio)
            continue
        sound = sounds[item.audio]
        if sound.rate != rate:
            converted[f"{sound.rate} samples a second"] += 1
        if sound.channels > 1 and item.channel is None:
            converted["several channels, of which the first is taken"] += 1
        kept.append(replace(item, audio=str(wanted[place]), channel=None) if place in wanted else item)
    for what, count in sorted(converted.items()):
        log.warning("%s: %d utterances had %s; they are converted", target, count, what)
    return kept


def measure_sample(items: Sequence[Item], seconds: dict[str, float], count: int, jobs: int) -> list[Quality]:
    """Measures of up to `count` utterances, evenly over the speakers in turn; short ones of a speaker are measured together."""
    turns = sorted(
        ((turn, speaker, item) for speaker, those in _by_speaker(items).items() for turn, item in enumerate(those)),
        key=lambda entry: entry[:2],
    )
    groups: list[tuple[str, list[Item]]] = []
    for speaker, those in _by_speaker([item for _, _, item in turns[:count]]).items():
        length = 0.0
        for item in those:
            if length == 0.0:
                groups.append((speaker, []))
            groups[-1][1].append(item)
            length += seconds[item.key]
            if length >= _MEASURED_TOGETHER:
                length = 0.0

    def one(group: tuple[str, list[Item]]) -> Quality:
        pieces = [samples_of(item) for item in group[1]]
        return measure(np.concatenate([samples for samples, _ in pieces]), pieces[0][1], group[0])

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, groups))


def _by_speaker(items: Iterable[Item]) -> dict[str, list[Item]]:
    table: dict[str, list[Item]] = {}
    for item in items:
        table.setdefault(item.speaker, []).append(item)
    return table


def _recordings(items: Iterable[Item]) -> dict[str, str]:
    """Utterance -> key of its recording in wav.scp. Names that are one without odd signs, and channels, stay apart."""
    found = {item.key: item.key for item in items if not item.recording}
    names: dict[tuple[str, str], str] = {}
    taken = set(found)
    for item in items:
        place = (item.recording, item.audio)
        if item.recording and place not in names:
            name = tidy(item.recording)
            while name in taken:
                name += "_"
            taken.add(name)
            names[place] = name
        if item.recording:
            found[item.key] = names[place]
    return found


def _write(items: Sequence[Item], target: Path) -> None:
    """The tables, in byte order; those of an earlier state that are not needed any more go."""
    segmented = any(item.recording for item in items)
    recordings = _recordings(items)
    tables: dict[str, dict[str, str]] = {name: {} for name in ("wav.scp", "text", "utt2spk", "segments", UTT2UNIQ)}
    for item in items:
        speaker = item.speaker if item.id else tidy(item.speaker)
        recording = recordings[item.key]
        tables["wav.scp"][recording] = item.audio
        tables["text"][item.key] = item.text
        tables["utt2spk"][item.key] = speaker
        if item.original:
            tables[UTT2UNIQ][item.key] = item.original
        if segmented:
            end = "-1" if item.end is None else f"{item.end:.3f}"
            tables["segments"][item.key] = f"{recording} {item.start or 0.0:.3f} {end}"
    tables["spk2utt"] = {}
    for key, speaker in sorted(tables["utt2spk"].items(), key=lambda pair: byte_order(pair[0])):
        tables["spk2utt"][speaker] = f"{tables['spk2utt'].get(speaker, '')} {key}".strip()
    for path in tables["wav.scp"].values():
        if not readable_by_kaldi(path):
            raise HdnnError(f"{path}: Kaldi cannot read a path with spaces; write to a directory without")
    for name, table in tables.items():
        if name in ("segments", UTT2UNIQ) and not table:
            (target / name).unlink(missing_ok=True)
            continue
        rows = sorted(table.items(), key=lambda pair: byte_order(pair[0]))
        write_text(target / name, "".join(f"{key} {value}\n" for key, value in rows))
    for name in (
        "feats.scp",
        "cmvn.scp",
        "utt2num_frames",
        ALIGNED_FRAMES,
        "utt2dur",
    ):  # of an earlier state of these data
        (target / name).unlink(missing_ok=True)
