"""A table of sound files and texts as a corpus: metadata.csv of LJSpeech or Hugging Face's audiofolder, TSV, any other."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hdnn_nnet.corpus.folder import UNKNOWN_SPEAKER, sound_files
from hdnn_nnet.corpus.items import Item
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.text import read_plain

#: what each column is called, most telling names first
NAMES = {
    "file": (
        "file",
        "file_name",
        "filename",
        "path",
        "audio",
        "audio_file",
        "audio_filepath",
        "wav",
        "utterance",
        "utt",
        "id",
    ),
    "text": ("text", "transcription", "transcript", "sentence", "normalized_text", "raw_transcription", "words"),
    "speaker": ("speaker", "speaker_id", "spk", "client_id", "reader"),
}
_LJSPEECH = ("file", "raw", "text")  # without a header: id|text as read|text with numbers spelled out


def _rows(path: Path) -> list[list[str]]:
    """Cells of all lines; the delimiter is whichever of tab, |, ; and comma the first line has."""
    try:
        lines = read_plain(path)
        delimiter = next((sign for sign in "\t|;," if sign in "".join(lines[:1])), ",")
        # Quotes mean something in CSV only; elsewhere they are part of the text.
        quoting = delimiter in ",;"
        reader = csv.reader(
            (line + "\n" for line in lines),  # a cell in quotes may go on over several lines
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
        )
        return [row for row in reader if row]
    except csv.Error as error:
        raise HdnnError(f"{path}: cannot be read as a table ({error})") from error


def _columns(
    path: Path, rows: Sequence[Sequence[str]], given: Sequence[str]
) -> tuple[dict[str, int], dict[str, int], bool]:
    """Kind -> place, name -> place, and whether the first row is a header.

    Raises:
        HdnnError: no column of files or of texts.
    """
    first = [cell.strip().lower() for cell in rows[0]]
    known = {name for names in NAMES.values() for name in names}
    header = not given and len(known & set(first)) >= 2
    names = list(given) or first
    if not given and not header:
        if len(first) not in (2, 3):
            raise HdnnError(
                f"{path} has no header with the columns file and text; name its columns with --columns file,speaker,text"
            )
        names = list(_LJSPEECH) if len(first) == 3 else ["file", "text"]
    places = {name: place for place, name in reversed(list(enumerate(names))) if name}
    kinds = {kind: places[name] for kind, choices in NAMES.items() for name in reversed(choices) if name in places}
    for kind in ("file", "text"):
        if kind not in kinds:
            raise HdnnError(f"{path}: no column of {kind}s among {', '.join(names)}; name the columns with --columns")
    return kinds, places, header


class _Files:
    """Finds the sound file that a cell of a table means."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stems: dict[str, Path] | None = None

    def find(self, cell: str, where: str) -> Path:
        for path in (self.root / cell, self.root / "wavs" / f"{cell}.wav", self.root / "clips" / cell):
            if path.is_file():
                return path.resolve()
        if self._stems is None:
            self._stems = {}
            for path in sound_files(self.root):
                self._stems.setdefault(path.stem, path)
        found = self._stems.get(cell) or self._stems.get(Path(cell).stem)
        if found is None:
            raise HdnnError(f"{where}: no sound file {cell} in {self.root}; say where the files are with --audio")
        return found.resolve()


def from_table(
    path: Path, audio: Path | None = None, columns: Sequence[str] = (), where: Sequence[str] = ()
) -> Iterator[Item]:
    """Utterances of a table. Its first line names the columns, or `columns` does; without either it is LJSpeech's.

    Args:
        audio: where the files are; default: beside the table.
        columns: names by place; empty ones are not looked at.
        where: `column=value`, only such rows are taken.

    Raises:
        HdnnError: a row that is too short, a file that is not there, or columns that are not known.
    """
    rows = _rows(path)
    if not rows:
        raise HdnnError(f"{path} is empty")
    kinds, places, header = _columns(path, rows, columns)
    wanted = []
    for condition in where:
        name, sign, value = condition.partition("=")
        if not sign or name not in places:
            raise HdnnError(f"--where {condition}: expected COLUMN=VALUE with one of {', '.join(places)}")
        wanted.append((places[name], value))
    files = _Files(audio or path.parent)
    for number, row in enumerate(rows[header:], 1 + header):
        place = f"{path}, line {number}"
        if len(row) <= max([*kinds.values(), *(p for p, _ in wanted)]):
            raise HdnnError(f"{place}: {len(row)} columns, expected at least {max(kinds.values()) + 1}")
        if any(row[column].strip() != value for column, value in wanted):
            continue
        sound = files.find(row[kinds["file"]].strip(), place)
        speaker = row[kinds["speaker"]].strip() if "speaker" in kinds else ""
        name = re.sub(r"\.\w{2,5}$", "", row[kinds["file"]].strip()).replace("/", "-")
        yield Item(name, speaker or UNKNOWN_SPEAKER, row[kinds["text"]].strip(), str(sound), place)
