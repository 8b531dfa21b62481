"""Kaldi's Posterior tables: for every frame a list of (pdf-id, weight), as nnet1 takes for targets.

The layout is that of Kaldi's hmm/posterior: binary entries are 5-byte items (a size byte and four bytes), text entries are one
line of `[ id weight id weight ]` groups.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import ArchiveFiles
from hdnn_nnet.kaldi.basic_io import INT32_ITEM, format_float, read_bytes
from hdnn_nnet.kaldi.table_writer import TableWriter
from hdnn_nnet.kaldi.tables import as_rspecifier, read_scp
from hdnn_nnet.ragged import cumulative

_OFFSET = re.compile(r"^(.*):(\d+)$")
_ITEM = 5  # bytes of an integer or a weight with its size byte


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

    def sums(self) -> np.ndarray:
        """(T,) float64: sum of each frame's weights."""
        return np.add.reduceat(np.append(self.weights, 0).astype(np.float64), self.offsets[:-1]) * (
            np.diff(self.offsets) > 0
        )

    def dense(self, num_pdfs: int) -> np.ndarray:
        """(T, num_pdfs) float32."""
        matrix = np.zeros((len(self), num_pdfs), np.float32)
        np.add.at(matrix, (np.repeat(np.arange(len(self)), np.diff(self.offsets)), self.pdfs), self.weights)
        return matrix


def parse_binary(data: bytes, position: int, where: str) -> tuple[SparsePosteriors, int]:
    """Parse one entry from `position` on (behind the `\\0B` mark); returns it and the position behind it."""

    def fail(problem: str) -> HdnnError:
        return HdnnError(f"{where}: {problem}; the archive is truncated or not one of posteriors: make it again")

    base = position + _ITEM
    if base > len(data) or data[position] != 4:
        raise fail("no number of frames")
    frames = struct.unpack_from("<i", data, position + 1)[0]
    if frames < 0 or base + frames * _ITEM > len(data):
        raise fail(f"{frames} frames announced")
    heads = np.empty(frames, np.int64)
    position = base
    count_at = struct.Struct("<i").unpack_from
    for frame in range(frames):  # a frame's place depends on the one before
        if position + _ITEM > len(data):
            raise fail(f"frame {frame} is missing")
        heads[frame] = position
        count = count_at(data, position + 1)[0]
        if count < 0:
            raise fail(f"frame {frame} has {count} entries")
        position += _ITEM * (1 + 2 * count)
    if position > len(data):
        raise fail("the last frame is incomplete")
    items = np.frombuffer(data, INT32_ITEM, (position - base) // _ITEM, base)
    if (items["size"] != 4).any():
        raise fail("32-bit values expected")
    head_items = (heads - base) // _ITEM
    entry = np.ones(len(items), bool)
    entry[head_items] = False
    pairs = items["value"][entry].reshape(-1, 2)
    weights = np.ascontiguousarray(pairs[:, 1]).view("<f4")
    if not np.isfinite(weights).all() or (len(pairs) and pairs[:, 0].min() < 0):
        raise fail("a negative pdf or a weight that is NaN or infinite")
    offsets = cumulative(items["value"][head_items])
    return SparsePosteriors(offsets, pairs[:, 0].copy(), weights), position


def parse_text(line: str, where: str) -> SparsePosteriors:
    """Parse the text form of one entry (without its key)."""
    counts: list[int] = []
    pdfs: list[int] = []
    weights: list[float] = []
    try:
        groups = line.split("]")
        if groups[-1].strip():
            raise ValueError("text behind the last ]")
        for group in groups[:-1]:
            words = group.split()
            if words[0] != "[" or len(words) % 2 == 0:
                raise ValueError(f"[ pdf weight ... ] expected, found {group.strip()[:40]!r}")
            counts.append(len(words) // 2)
            pdfs.extend(map(int, words[1::2]))
            weights.extend(map(float, words[2::2]))
    except (ValueError, IndexError) as error:
        raise HdnnError(f"{where}: not a posterior in text form ({error}); make it again") from error
    values = np.array(weights, np.float32)
    if not np.isfinite(values).all() or min(pdfs, default=0) < 0:
        raise HdnnError(f"{where}: a negative pdf or a weight that is NaN or infinite; make it again")
    return SparsePosteriors(cumulative(np.array(counts, np.int64)), np.array(pdfs, np.int32), values)


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


def _is_binary(data: bytes, position: int) -> bool:
    return data[position : position + 2] == b"\0B"


def read_posteriors(where: str | os.PathLike[str]) -> Iterator[tuple[str, SparsePosteriors]]:
    """Yield `(key, posteriors)` from an archive or script file (rspecifier or path; `.gz` and pipes too).

    Raises:
        HdnnError: unreadable or damaged table; file and key are named.
    """
    rspecifier = as_rspecifier(where)
    kind, _, rest = rspecifier.partition(":")
    if kind.split(",")[0] == "scp":
        table = PosteriorTable(rest)
        for key in table.lines:
            yield key, table[key]
        return
    data = read_bytes(rest)
    position, last = 0, "the start"
    while position < len(data):
        space = data.find(b" ", position)
        key = data[position : max(space, position)].decode("utf-8", "replace")
        if not key or not key.isprintable() or len(key) > 4096:
            raise HdnnError(f"{where}: no key after {last}; the archive is truncated or no table: make it again")
        what = f"{where}, key {key}"
        if _is_binary(data, space + 1):
            value, position = parse_binary(data, space + 3, what)
        else:
            end = data.find(b"\n", space)
            if end < 0:
                raise HdnnError(f"{what}: the line does not end; the archive is truncated: make it again")
            value, position = parse_text(data[space + 1 : end].decode("utf-8", "replace"), what), end + 1
        yield key, value
        last = f"key {key}"


class PosteriorTable:
    """Random access to the posteriors of a script file: `table[key]` is a SparsePosteriors.

    Args:
        path: the scp file.
        root: where to look for relative paths that do not exist from the current directory.
    """

    def __init__(self, path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.lines = read_scp(path)
        self.files = ArchiveFiles(root)
        self._places: dict[str, tuple[str, int]] = {}
        offsets: dict[str, list[int]] = {}
        for key, value in self.lines.items():
            match = _OFFSET.match(value.strip())
            name, offset = (match[1], int(match[2])) if match else (value.strip(), 0)
            self._places[key] = name, offset
            offsets.setdefault(name, []).append(offset)
        # An entry ends before the next one begins; only what it needs is read.
        self._next = {
            name: dict(zip(sorted(places), [*sorted(places)[1:], 0], strict=True)) for name, places in offsets.items()
        }

    def _bytes(self, key: str, count: int) -> tuple[bytes, str]:
        """Up to `count` bytes of the entry (0: all of them), and what to call it."""
        if key not in self._places:
            raise HdnnError(f"{self.path}: key {key} is missing")
        name, offset = self._places[key]
        what = f"{name}, key {key}"
        if name.endswith("|"):
            return read_bytes(name), what
        try:
            read = self.files.reader(name)
        except (OSError, HdnnError) as error:
            raise HdnnError(f"{self.path}, key {key}: {error}") from error
        end = self._next[name][offset]
        return read(count or (end - offset if end else 1 << 62), offset), what

    def head(self, key: str, count: int) -> bytes:
        """The first `count` bytes of an entry."""
        return self._bytes(key, count)[0][:count]

    def num_frames(self, key: str) -> int:
        """Frames of an entry, from its header alone if it is binary."""
        data, _ = self._bytes(key, 7)
        if _is_binary(data, 0) and len(data) >= 7:
            return struct.unpack_from("<i", data, 3)[0]
        return len(self[key])

    def __getitem__(self, key: str) -> SparsePosteriors:
        data, what = self._bytes(key, 0)
        if _is_binary(data, 0):
            return parse_binary(data, 2, what)[0]
        return parse_text(data.partition(b"\n")[0].decode("utf-8", "replace"), what)


class PosteriorWriter(TableWriter):
    """A table of posteriors to any wspecifier; `ark,t:` writes the text form."""

    def write_posteriors(self, key: str, posteriors: SparsePosteriors) -> None:
        """Write one entry."""
        self.write(key, to_bytes(posteriors, self.text))
