"""Copies of a data directory's utterances: of other speeds, with noise, with reverberation. No sox is needed.

Names, times and utt2uniq are those of Kaldi's utils/data/perturb_data_dir_speed.sh; recordings are copied whole, as there.
"""

import logging
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.corpus.copied_audio import Change, Speech, changes, write_copy
from hdnn_nnet.corpus.items import Item, tidy
from hdnn_nnet.corpus.kaldi_dir import from_kaldi
from hdnn_nnet.corpus.noise import noise_sounds
from hdnn_nnet.corpus.options import AugmentOptions
from hdnn_nnet.corpus.prepare import WAV_DIR
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.sound_file import state
from hdnn_nnet.kaldi.copies import UTT2UNIQ
from hdnn_nnet.kaldi.data_dir import BY_RECORDING, BY_SPEAKER, BY_UTTERANCE, DataDir, byte_order
from hdnn_nnet.options import flatten
from hdnn_nnet.text import to_float, words

log = logging.getLogger(__name__)

#: in the written directory: what its recordings were made by
MADE_BY = "augmented"
_OF_FEATURES = ("feats.scp", "cmvn.scp", "vad.scp", "utt2num_frames")
_SHORTEST = 0.01  # seconds; Kaldi drops what a change of speed makes shorter
_PROGRESS = 20.0  # seconds between two lines

Tables = dict[str, dict[str, str]]


def augment(source: Path, target: Path, options: AugmentOptions) -> None:
    """Write `target`: the utterances of `source`, unless --originals is false, and their copies.

    What is written depends on source, options and seed only. An interrupted run goes on with the recordings that it lacks.

    Raises:
        HdnnError: bad input, or copies that are there already.
    """
    if source.resolve() == target.resolve():
        raise HdnnError(f"{target} would be made from itself; write to another directory")
    if any(sign.isspace() for sign in str(target.resolve())):
        raise HdnnError(f"{target.resolve()}: Kaldi cannot read a path with spaces; write to a directory without")
    data, items = DataDir(source), list(from_kaldi(source))
    speeches = speech_of(items)
    every = changes(options, items)
    parts = [dict(data.tables, utt2spk=data.utt2spk, utt2uniq=original_of(data))] if options.originals else []
    work: list[Callable[[], None]] = []
    names: set[str] = set()
    for change in every:
        paths = {}
        for speech in speeches:
            name = tidy(change.prefix + speech.recording)
            while name in names:
                name += "_"
            names.add(name)
            paths[speech.recording] = (target / WAV_DIR / f"{name}.wav").resolve()
            work.append(partial(write_copy, change, speech, options.seed, paths[speech.recording]))
        parts.append(copied_tables(data, change, paths))
    merged = merge(parts, source)
    _begin(source, target, options, speeches)
    _run(work, options.nj, target)
    _write(merged, target)
    copies = len(merged["utt2spk"]) - (len(data.utt2spk) if options.originals else 0)
    log.info("%s: %d utterances, %d of them copies", target, len(merged["utt2spk"]), copies)


def speech_of(items: Iterable[Item]) -> list[Speech]:
    """The recordings that utterances are in, and where in them."""
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.recording or item.key, []).append(item)
    return [
        Speech(recording, those[0].audio, those[0].speaker, tuple((i.start or 0.0, i.end) for i in those))
        for recording, those in found.items()
    ]


def original_of(data: DataDir) -> dict[str, str]:
    """utt2uniq of all utterances."""
    return {utt: data.originals.get(utt, utt) for utt in data.utt2spk}


def copied_tables(data: DataDir, change: Change, paths: dict[str, Path]) -> Tables:
    """The tables of one copy of the data; those of features are left out.

    Args:
        paths: recording -> its copy.
    """
    prefix, tables = change.prefix, data.tables
    short = {
        utt for utt, line in tables.get("segments", {}).items() if change.speed != 1 and _is_short(line, change.speed)
    }
    if short:
        log.warning(
            "%s: %d utterances are too short for a copy of %g times the speed", data.path, len(short), change.speed
        )
    kept = [utt for utt in data.utt2spk if utt not in short]
    segments = {utt: _segment(tables["segments"][utt], change) for utt in kept} if "segments" in tables else {}
    found: Tables = {
        "utt2spk": {prefix + utt: prefix + data.utt2spk[utt] for utt in kept},
        UTT2UNIQ: {prefix + utt: original for utt, original in original_of(data).items() if utt not in short},
        "wav.scp": {prefix + recording: str(path) for recording, path in paths.items()},
    }
    if segments:
        found["segments"] = {prefix + utt: line for utt, line in segments.items()}
    for name in (*BY_UTTERANCE, *BY_SPEAKER, *BY_RECORDING):
        if name in found or name in _OF_FEATURES or name not in tables:
            continue
        table = {key: value for key, value in tables[name].items() if key not in short}
        if name in ("utt2dur", "reco2dur"):
            table = {key: _longer(value, change.speed, f"{data.path}/{name}") for key, value in table.items()}
        found[name] = {prefix + key: value for key, value in table.items()}
    return found


def _is_short(line: str, speed: float) -> bool:
    _, start, end, *_ = words(line)
    return float(end) != -1 and float(end) / speed <= float(start) / speed + _SHORTEST


def _segment(line: str, change: Change) -> str:
    recording, start, end, *channel = words(line)
    if change.speed != 1:
        start = f"{float(start) / change.speed:.2f}"
        end = end if float(end) == -1 else f"{float(end) / change.speed:.2f}"
    return " ".join([change.prefix + recording, start, end, *channel])


def _longer(seconds: str, speed: float, where: str) -> str:
    try:
        return f"{to_float(seconds) / speed:.6g}" if speed != 1 else seconds
    except ValueError as error:
        raise HdnnError(f"{where}: {seconds!r} is no duration ({error}); make the file again, or remove it") from error


def merge(parts: list[Tables], source: Path) -> Tables:
    """Tables of all parts together.

    Raises:
        HdnnError: two have the same utterance.
    """
    merged: Tables = {}
    for part in parts:
        for name, table in part.items():
            if name in _OF_FEATURES:
                continue
            twice = merged.setdefault(name, {}).keys() & table.keys()
            if twice and name not in BY_SPEAKER:
                raise HdnnError(f"{source} has {min(twice)} already, or it would be made twice; ask for other copies")
            merged[name] |= table
    return merged


def _begin(source: Path, target: Path, options: AugmentOptions, speeches: Iterable[Speech]) -> None:
    """Remove what was made with other options or from another source.

    Raises:
        HdnnError: the target is no augmented data.
    """
    inputs = [(source / name) for name in ("wav.scp", "segments", "utt2spk", "text")]
    checksums = [f"{path.name} {zlib.crc32(path.read_bytes()):08x}" for path in inputs if path.is_file()]
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in flatten(options, free=False).items()]
    audio = [speech.audio for speech in speeches]
    if options.noise_copies and options.noise_dir:
        audio += noise_sounds(options.noise_dir)
    sounds = zlib.crc32(repr([(name, state(name)) for name in audio]).encode())
    line = "\n".join([str(source.resolve()), *checksums, f"sounds {sounds:08x}", *settings]) + "\n"
    path = target / MADE_BY
    if path.is_file() and path.read_text(encoding="utf-8") == line:
        return
    if not path.is_file() and (target / "utt2spk").exists():
        raise HdnnError(
            f"{target} is a data directory that was made some other way; write to another one, or remove it"
        )
    if path.is_file():
        for old in (target / WAV_DIR).glob("*.wav"):
            old.unlink()
    for name in (*BY_UTTERANCE, *BY_SPEAKER, *BY_RECORDING, "utt2spk", "spk2utt"):
        (target / name).unlink(missing_ok=True)
    write_text(path, line)


def _run(work: list[Callable[[], None]], jobs: int, target: Path) -> None:
    said = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(task) for task in work]
        try:
            for done, task in enumerate(as_completed(waiting), 1):
                task.result()
                if time.monotonic() - said > _PROGRESS:
                    said = time.monotonic()
                    log.info("%s: %d of %d recordings", target, done, len(work))
        finally:
            pool.shutdown(cancel_futures=True)


def _write(tables: Tables, target: Path) -> None:
    """In byte order; utt2spk and spk2utt last, and nothing that is right already."""
    speakers: dict[str, list[str]] = {}
    for utt in sorted(tables["utt2spk"], key=byte_order):
        speakers.setdefault(tables["utt2spk"][utt], []).append(utt)
    order = sorted(tables, key=lambda name: name == "utt2spk")
    for name, table in [
        *((name, tables[name]) for name in order),
        ("spk2utt", {s: " ".join(u) for s, u in speakers.items()}),
    ]:
        rows = sorted(table.items(), key=lambda pair: byte_order(pair[0]))
        text = "".join(f"{key} {value}".rstrip() + "\n" for key, value in rows)
        path = target / name
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
