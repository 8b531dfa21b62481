"""A plain folder as a corpus: `SPEAKER/anything.wav` (or .flac, .mp3 ...) with `anything.txt` beside it."""

import os
from collections.abc import Iterator
from pathlib import Path

from hdnn_nnet.corpus.items import Item, LeftOut
from hdnn_nnet.corpus.sounds import DECODED_FROM
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.text import read_plain, words

UNKNOWN_SPEAKER = "unknown"
#: endings of sound files that libsndfile reads
SOUNDS = frozenset(
    (
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
        ".sph",
        ".nist",
        ".w64",
    )
)


#: endings of other recordings, which must be converted first
OTHERS = frozenset((".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka", ".amr", ".3gp", ".weba"))

_CONVERT = "ffmpeg -i x.m4a x.wav"


def without_ending(name: str) -> str:
    """The name of a recording without its ending, if it has one; what else follows a dot belongs to the name."""
    stem, _, ending = name.rpartition(".")
    return stem if stem and f".{ending.lower()}" in SOUNDS | OTHERS else name


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted; links to directories are followed.

    Hidden files and directories, and recordings that an earlier run has decoded, are not looked at.
    """
    found: list[Path] = []
    for root, directories, names in os.walk(folder, followlinks=True):
        if DECODED_FROM in names:
            continue
        # A link to a directory above would lead round in a circle.
        above = {os.path.realpath(place) for place in (Path(root), *Path(root).parents)}
        directories[:] = [d for d in directories if d[0] != "." and os.path.realpath(Path(root, d)) not in above]
        found += [Path(root, name) for name in names if name[0] != "."]
    return sorted(found)


def sound_files(folder: Path) -> list[Path]:
    """Those that libsndfile reads, by their endings."""
    return [path for path in files_below(folder) if path.suffix.lower() in SOUNDS]


def from_folder(folder: Path, left_out: LeftOut) -> Iterator[Item]:
    """Utterances of a folder: the directory below it is the speaker; files without text are left out.

    Raises:
        HdnnError: no such folder, no sound file in it, or a text that is not UTF-8.
    """
    if not folder.is_dir():
        raise HdnnError(f"{folder} is no directory")
    below = files_below(folder)
    files = [path for path in below if path.suffix.lower() in SOUNDS]
    others = [path for path in below if path.suffix.lower() in OTHERS]
    if not files:
        convert = f"; {others[0]} and the like must be converted first: {_CONVERT}" if others else ""
        raise HdnnError(f"{folder} holds no sound file (endings {' '.join(sorted(SOUNDS))}){convert}")
    _count_unread(below, files, others, left_out)
    for path in files:
        parts = path.relative_to(folder).with_suffix("").parts
        speaker = parts[0] if len(parts) > 1 else UNKNOWN_SPEAKER
        text = path.with_suffix(".txt")
        if not text.is_file():
            left_out.add("sound file without a .txt beside it", str(path))
            continue
        said = " ".join(word for line in read_plain(text) for word in words(line))
        yield Item("-".join(parts[1:]) or parts[0], speaker, said, str(path.resolve()), str(path))


def _count_unread(below: list[Path], files: list[Path], others: list[Path], left_out: LeftOut) -> None:
    """Recordings that must be converted, and texts in directories of recordings that have no recording beside them."""
    stems, directories = {path.with_suffix("") for path in files}, {path.parent for path in files}
    for path in others:
        if path.with_suffix("") not in stems:
            left_out.add(f"recording of a kind that is not read ({_CONVERT})", str(path))
    stems |= {path.with_suffix("") for path in others}
    for path in below:
        if path.suffix == ".txt" and path.parent in directories and path.with_suffix("") not in stems:
            left_out.add(".txt without a sound file beside it", str(path))
