"""Posterior tables: for every frame a list of (pdf-id, weight), as nnet1 takes for targets.

The layout is that of Kaldi's hmm/posterior: binary entries are 5-byte items (a size byte and four bytes), text entries are one
line of `[ id weight id weight ]` groups. Entries of a third form (compact_posteriors), which Kaldi does not know, are read
everywhere too.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi import compact_posteriors
from hdnn_nnet.kaldi.basic_io import INT32_ITEM, format_float
from hdnn_nnet.kaldi.byte_stream import ByteStream, Truncated
from hdnn_nnet.kaldi.marks import COMPACT, INTEGERS, TEXT, kind_of, wrong_kind
from hdnn_nnet.kaldi.options import FORMS
from hdnn_nnet.kaldi.rxfile import Specifier
from hdnn_nnet.kaldi.script_table import ScriptTable
from hdnn_nnet.kaldi.table_writer import TableWriter
from hdnn_nnet.kaldi.tables import read_table
from hdnn_nnet.ragged import cumulative
from hdnn_nnet.text import to_float, to_int, words

_ITEM = INT32_ITEM.itemsize  # an integer or a weight with its size byte
_COUNT = struct.Struct("<i")
_AHEAD = 1 << 16  # bytes of most entries


@dataclass
class SparsePosteriors:
    """Weights of a few pdfs in each of T frames.

    Attributes:
        offsets: (T + 1,) int64; entries of frame t are `offsets[t]:offsets[t + 1]`.
        pdfs: (entries,) int32.
        weights: (entries,) float32.
    """

    offsets: np.ndarray
    pdfs: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def with_frames(self, frames: int) -> "SparsePosteriors":
        """The first `frames` frames, or these and the last one repeated; neither may be none."""
        row = np.minimum(np.arange(frames), len(self) - 1)
        offsets = cumulative(np.diff(self.offsets)[row])
        entries = np.arange(offsets[-1]) + np.repeat(self.offsets[row] - offsets[:-1], np.diff(offsets))
        return SparsePosteriors(offsets, self.pdfs[entries], self.weights[entries])

    def sums(self) -> np.ndarray:
        """(T,) float64: sum of each frame's weights."""
        return np.add.reduceat(np.append(self.weights, 0).astype(np.float64), self.offsets[:-1]) * (
            np.diff(self.offsets) > 0
        )

    def checksum(self) -> str:
        """CRC-32 of the values, eight hexadecimal digits: a flipped bit is found, an intention is not."""
        value = 0
        for part in (self.offsets.astype("<i8"), self.pdfs.astype("<i4"), self.weights.astype("<f4")):
            value = zlib.crc32(np.ascontiguousarray(part).data, value)
        return f"{value:08x}"

    def dense(self, num_pdfs: int) -> np.ndarray:
        """(T, num_pdfs) float32."""
        matrix = np.zeros((len(self), num_pdfs), np.float32)
        np.add.at(matrix, (np.repeat(np.arange(len(self)), np.diff(self.offsets)), self.pdfs), self.weights)
        return matrix


def _parse_binary(data: bytes, position: int, fail: Callable[[str], HdnnError]) -> tuple[SparsePosteriors, int]:
    """The entry at `position` (that of the `\\0B` mark), and the position after it.

    Raises:
        Truncated: the data end before it does.
        HdnnError: what `fail` makes of a damaged entry.
    """
    base = position + 2 + _ITEM
    if base > len(data):
        raise Truncated
    frames = _COUNT.unpack_from(data, position + 3)[0]
    if frames < 0:
        raise fail(f"{frames} frames announced; regenerate it")
    if base + frames * _ITEM > len(data):
        raise Truncated
    heads = np.empty(frames, np.int64)
    position = base
    count_at = _COUNT.unpack_from
    for frame in range(frames):  # a frame's place depends on the one before
        if position + _ITEM > len(data):
            raise Truncated
        heads[frame] = position
        count = count_at(data, position + 1)[0]
        if count < 0:
            raise fail(f"frame {frame} has {count} entries; regenerate it")
        position += _ITEM * (1 + 2 * count)
    if position > len(data):
        raise Truncated
    items = np.frombuffer(data, INT32_ITEM, (position - base) // _ITEM, base)
    if np.count_nonzero(items["size"] == 4) != len(items):
        raise fail("no posteriors, 32-bit values expected; give a table of posteriors")
    head_items = (heads - base) // _ITEM
    entry = np.ones(len(items), bool)
    entry[head_items] = False
    pairs = items["value"][entry].reshape(-1, 2)
    weights = np.ascontiguousarray(pairs[:, 1]).view("<f4")
    if not np.isfinite(weights).all() or (len(pairs) and pairs[:, 0].min() < 0):
        raise fail("a negative pdf or a weight that is NaN or infinite; regenerate it")
    offsets = cumulative(items["value"][head_items])
    return SparsePosteriors(offsets, pairs[:, 0].copy(), weights), position


def _parse_text(line: str, fail: Callable[[str], HdnnError]) -> SparsePosteriors:
    """The text form of one entry, without its key."""
    counts: list[int] = []
    pdfs: list[int] = []
    weights: list[float] = []
    try:
        groups = line.split("]")
        if groups[-1].strip():
            raise ValueError("text after the last ]")
        for group in groups[:-1]:
            found = words(group)
            if found[0] != "[" or len(found) % 2 == 0:
                raise ValueError(f"[ pdf weight ... ] expected, found {group.strip()[:40]!r}")
            counts.append(len(found) // 2)
            pdfs.extend(to_int(word, least=0) for word in found[1::2])
            weights.extend(to_float(word) for word in found[2::2])
    except (ValueError, IndexError) as error:
        raise fail(f"not a posterior in text form ({error}); regenerate it") from error
    with np.errstate(over="ignore"):
        values = np.array(weights, np.float32)
    if not np.isfinite(values).all():
        raise fail("a weight that is infinite; regenerate it")
    return SparsePosteriors(cumulative(np.array(counts, np.int64)), np.array(pdfs, np.int32), values)


def read_entry(stream: ByteStream) -> SparsePosteriors:
    """Take the next entry of a table.

    Raises:
        HdnnError: another kind of entry, or a damaged one.
    """
    kind = kind_of(stream)
    if kind == INTEGERS:
        return stream.parse(lambda data, position: _parse_binary(data, position, stream.fail))
    if kind == COMPACT:
        return SparsePosteriors(*compact_posteriors.unpack(stream))
    if kind != TEXT:
        raise wrong_kind(stream, kind, "posteriors")
    end = stream.find(b"\n")
    if end < 0:
        raise stream.fail("the entry is truncated, its line does not end; regenerate it")
    return _parse_text(bytes(stream.read(end + 1)).decode("utf-8", "replace"), stream.fail)


def to_bytes(posteriors: SparsePosteriors, text: bool = False) -> bytes:
    """What follows the key and a space in an archive."""
    if text:
        frames = np.split(np.arange(len(posteriors.pdfs)), posteriors.offsets[1:-1]) if len(posteriors) else []
        pdfs, weights = posteriors.pdfs.tolist(), posteriors.weights.tolist()
        groups = ("[ " + "".join(f"{pdfs[i]} {format_float(weights[i])} " for i in frame) + "] " for frame in frames)
        return ("".join(groups) + "\n").encode()
    counts = np.diff(posteriors.offsets)
    items = np.empty(len(counts) + 2 * len(posteriors.pdfs), INT32_ITEM)
    items["size"] = 4
    heads = 2 * posteriors.offsets[:-1] + np.arange(len(counts))
    entry = np.ones(len(items), bool)
    entry[heads] = False
    values = np.empty((len(posteriors.pdfs), 2), "<i4")
    values[:, 0] = posteriors.pdfs
    values[:, 1] = posteriors.weights.astype("<f4").view("<i4")
    items["value"][heads] = counts
    items["value"][entry] = values.reshape(-1)
    return b"\0B" + struct.pack("<bi", 4, len(counts)) + items.tobytes()


def read_posteriors(where: str | os.PathLike[str]) -> Iterator[tuple[str, SparsePosteriors]]:
    """Yield `(key, posteriors)` from an archive or script file (rspecifier or path; `.gz` and pipes too).

    Raises:
        HdnnError: unreadable or damaged table; file and key are named.
    """
    return read_table(where, read_entry, PosteriorTable)


class PosteriorTable(ScriptTable[SparsePosteriors]):
    """Random access to the posteriors of a script file: `table[key]` is a SparsePosteriors."""

    def _stream(self, key: str, ahead: int) -> ByteStream:
        stream, part = self.open(key, ahead)
        if part is not None:  # as in Kaldi
            raise stream.fail(f"posteriors have no ranges such as {part}; give whole entries")
        return stream

    def num_frames(self, key: str) -> int:
        """Frames of an entry, from its header alone if it is binary."""
        stream = self._stream(key, compact_posteriors.FRAMES_HEAD)
        head = stream.look(compact_posteriors.FRAMES_HEAD)
        kind = kind_of(stream)
        if kind == COMPACT and len(head) == compact_posteriors.FRAMES_HEAD:
            return compact_posteriors.frames_of(head)
        if kind == INTEGERS and len(head) >= 2 + _ITEM:
            return _COUNT.unpack_from(head, 3)[0]
        return len(read_entry(stream))

    def __getitem__(self, key: str) -> SparsePosteriors:
        return read_entry(self._stream(key, _AHEAD))


class PosteriorWriter(TableWriter):
    """A table of posteriors to any wspecifier; `ark,t:` writes Kaldi's text form.

    Args:
        form: of options.FORMS.
    """

    def __init__(self, wspecifier: str | Specifier, form: str = "kaldi") -> None:
        super().__init__(wspecifier)
        if form not in FORMS:
            raise HdnnError(f"{form} is no form of posteriors; there are {', '.join(FORMS)}")
        self.compact = form == "compact"
        if self.compact and self.text:
            raise HdnnError(f"{wspecifier}: the compact form has no text form; write --form kaldi")

    def write_posteriors(self, key: str, posteriors: SparsePosteriors) -> SparsePosteriors:
        """Write one entry.

        Returns:
            The posteriors as they are read again, but for the rounding of the text form.

        Raises:
            HdnnError: weights that the compact form cannot hold.
        """
        if not self.compact:
            self.write(key, to_bytes(posteriors, self.text))
            return posteriors
        try:
            value = compact_posteriors.pack(posteriors.offsets, posteriors.pdfs, posteriors.weights)
        except ValueError as error:
            raise HdnnError(f"{self.specifier}, key {key}: {error}") from error
        self.write(key, value)
        return read_entry(ByteStream.of(value, str(self.specifier), key))
