"""A table of sound files and texts as a corpus: metadata.csv of LJSpeech or Hugging Face's audiofolder, TSV, any other."""

import csv
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdnn_nnet.corpus.folder import UNKNOWN_SPEAKER, sound_files, without_ending
from hdnn_nnet.corpus.items import Item, LeftOut
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.text import read_plain

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class _Table:
    """Rows without the empty ones: the line where each begins, and its cells."""

    path: Path
    delimiter: str
    rows: list[tuple[int, list[str]]]

    @property
    def first(self) -> list[str]:
        return [cell.strip() for cell in self.rows[0][1]]


def _cells(lines: Iterable[str], delimiter: str, first: str) -> Any:
    # Quotes mean something in CSV, or where all of the first line is in quotes; elsewhere they are part of the text.
    quotes = delimiter in ",;" or all(cell[:1] == cell[-1:] == '"' for cell in first.split(delimiter))
    return csv.reader(
        (line + "\n" for line in lines),  # a cell in quotes may go on over several lines
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,  # a quote that is not closed would swallow rows
    )


def _delimiter(first: str, columns: Sequence[str]) -> str:
    """Whichever of tab, |, ; and comma makes sense of the first line, else the first of them that is in it."""

    def fits(sign: str) -> bool:
        cells = next(_cells([first], sign, first))
        return len(cells) == len(columns) if columns else _is_header(cells)

    signs = [sign for sign in "\t|;," if sign in first]
    return next(filter(fits, signs), signs[0]) if len(signs) > 1 else (signs or [","])[0]


def _is_header(cells: Sequence[str]) -> bool:
    return len({name for names in NAMES.values() for name in names} & {cell.strip().lower() for cell in cells}) >= 2


def _read(path: Path, columns: Sequence[str]) -> _Table:
    """A table.

    Raises:
        HdnnError: a file that cannot be read, quotes that do not match, or no row.
    """
    lines, line = read_plain(path), 0
    rows: list[tuple[int, list[str]]] = []
    try:
        first = "".join(lines[:1])
        delimiter = _delimiter(first, columns)
        reader = _cells(lines, delimiter, first)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line + 1, cells))
            line = reader.line_num
    except csv.Error as error:
        raise HdnnError(
            f"{path}, line {line + 1}: cannot be read as a table ({error}); a cell with quotes in it stands in quotes, and those "
            "in it are doubled"
        ) from error
    if not rows:
        raise HdnnError(f"{path} is empty")
    return _Table(path, delimiter, rows)


def _columns(table: _Table, given: Sequence[str]) -> tuple[dict[str, int], dict[str, int], bool]:
    """Kind -> place, name -> place, and whether the first row is a header.

    Raises:
        HdnnError: no column of files or of texts.
    """
    path, first = table.path, [cell.lower() for cell in table.first]
    header = not given and _is_header(first)
    names = list(given) or first
    if not given and not header:
        ljspeech = len(first) == 3 and table.delimiter == "|"
        if len(first) != 2 and not ljspeech:
            raise HdnnError(
                f"{path} has no header with the columns file and text; write one above, such as file,speaker,text, or name the "
                "columns with --columns"
            )
        names = list(_LJSPEECH) if ljspeech else ["file", "text"]
    places = {name: place for place, name in reversed(list(enumerate(names))) if name}
    kinds = {kind: places[name] for kind, choices in NAMES.items() for name in reversed(choices) if name in places}
    for kind, place in kinds.items():
        if names.count(names[place]) > 1:
            raise HdnnError(f"{path} has two columns {names[place]}; rename the one that is no {kind}")
    for kind in ("file", "text"):
        if kind not in kinds:
            raise HdnnError(f"{path}: no column of {kind}s among {', '.join(names)}; name the columns with --columns")
    return kinds, places, header


class _Files:
    """Finds the sound file that a cell of a table means."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._below: dict[str, list[Path]] | None = None

    def find(self, cell: str, where: str) -> Path | None:
        """The file; None if there is none.

        Raises:
            HdnnError: several files may be meant.
        """
        for path in (self.root / cell, self.root / "wavs" / f"{cell}.wav", self.root / "clips" / cell):
            if cell and path.is_file():
                return path.resolve()
        return self._search(Path(cell.replace("\\", "/")), where)

    def _search(self, wanted: Path, where: str) -> Path | None:
        """Anywhere below, perhaps with another ending; a directory that the cell names must be that of the file."""
        if self._below is None:
            self._below = {}
            for path in sound_files(self.root):
                self._below.setdefault(without_ending(path.name), []).append(path.resolve())
        found = self._below.get(without_ending(wanted.name), []) if wanted.name else []
        directory = wanted.parent.name
        found = [path for path in found if directory in ("", path.parent.name)]
        found = [path for path in found if path.name == wanted.name] or found
        if len(found) > 1:
            raise HdnnError(
                f"{where}: {wanted} may be {found[0]} or {found[1]}; give the file's path from {self.root} on"
            )
        return found[0] if found else None


def from_table(
    path: Path, left_out: LeftOut, audio: Path | None = None, columns: Sequence[str] = (), where: Sequence[str] = ()
) -> Iterator[Item]:
    """Utterances of a table. Its first line names the columns, or `columns` does; without either it is LJSpeech's.

    Rows whose file is not there are left out.

    Args:
        audio: where the files are; default: beside the table.
        columns: names by place; empty ones are not looked at.
        where: `column=value`, only such rows are taken.

    Raises:
        HdnnError: a row that is too short or too long, a file that is not clear, or columns that are not known.
    """
    if audio is not None and not audio.is_dir():
        raise HdnnError(f"--audio {audio} is no directory")
    table = _read(path, columns)
    kinds, places, header = _columns(table, columns)
    wanted = []
    for condition in where:
        name, sign, value = condition.partition("=")
        name = name.lower() if header else name
        if not sign or name not in places:
            raise HdnnError(f"--where {condition}: expected COLUMN=VALUE with one of {', '.join(places)}")
        wanted.append((places[name], value))
    files, without = _Files(audio or path.parent), 0
    least = 1 + max([*kinds.values(), *(column for column, _ in wanted)])
    most = max(len(table.first), len(columns))
    for line, cells in table.rows[header:]:
        place = f"{path}, line {line}"
        if len(cells) < least:
            raise HdnnError(f"{place}: {len(cells)} columns, expected at least {least}")
        if any(cell.strip() for cell in cells[most:]):
            raise HdnnError(
                f"{place}: {len(cells)} columns, the first line has {most}; a text with {table.delimiter!r} in it stands in "
                "quotes, or columns are divided by tabs"
            )
        if any(cells[column].strip() != value for column, value in wanted):
            continue
        cell = cells[kinds["file"]].strip()
        sound = files.find(cell, place)
        if sound is None:
            left_out.add(f"sound file that is not in {files.root}; --audio says where they are", f"{cell!r} in {place}")
            continue
        speaker = cells[kinds["speaker"]].strip() if "speaker" in kinds else ""
        without += "speaker" in kinds and not speaker
        name = without_ending(cell).replace("/", "-")
        yield Item(name, speaker or UNKNOWN_SPEAKER, cells[kinds["text"]].strip(), str(sound), place)
    if without:
        log.warning("%s: %d rows name no speaker; they count as one speaker, %s", path, without, UNKNOWN_SPEAKER)
