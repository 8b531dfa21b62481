"""A plain folder as a corpus: `SPEAKER/anything.wav` (or .flac, .mp3 ...) with `anything.txt` beside it."""

from collections.abc import Iterator
from pathlib import Path

from hdnn_nnet.corpus.items import Item, LeftOut
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


def sound_files(folder: Path) -> list[Path]:
    """All sound files below a folder, by their endings, sorted; hidden ones are not looked at."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SOUNDS and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def from_folder(folder: Path, left_out: LeftOut) -> Iterator[Item]:
    """Utterances of a folder: the directory below it is the speaker; files without text are left out.

    Raises:
        HdnnError: no such folder, no sound file in it, or a text that is not UTF-8.
    """
    if not folder.is_dir():
        raise HdnnError(f"{folder} is no directory")
    files = sound_files(folder)
    if not files:
        raise HdnnError(f"{folder} holds no sound file (endings {' '.join(sorted(SOUNDS))})")
    for path in files:
        parts = path.relative_to(folder).with_suffix("").parts
        speaker = parts[0] if len(parts) > 1 else UNKNOWN_SPEAKER
        text = path.with_suffix(".txt")
        if not text.is_file():
            left_out.add("sound file without a .txt beside it", str(path))
            continue
        said = " ".join(word for line in read_plain(text) for word in words(line))
        yield Item("-".join(parts[1:]) or parts[0], speaker, said, str(path.resolve()), str(path))
