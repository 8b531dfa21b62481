"""Features of a Kaldi data directory, by utterance, normalised and with deltas, without Kaldi."""

import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.transforms import Cmvn, Deltas
from hdnn_nnet.kaldi.basic_io import read_bytes
from hdnn_nnet.kaldi.matrix import Read, read_header, read_matrix
from hdnn_nnet.kaldi.tables import read_scp

_RANGE = re.compile(r"^(.*)\[(\d*):(\d*)(?:,(\d*):(\d*))?\]$")
_MAX_OPEN_FILES = 200


class _Entry:
    """Where one scp line points to: a file and offset, or a command; and a range of rows and columns in it."""

    __slots__ = ("columns", "is_command", "name", "offset", "rows")

    def __init__(self, rxfilename: str) -> None:
        self.rows = self.columns = slice(None)
        if match := _RANGE.match(rxfilename):
            rxfilename, first, last, first_column, last_column = match.groups()
            self.rows = _slice(first, last)
            self.columns = _slice(first_column, last_column)
        rxfilename = rxfilename.strip()
        self.is_command = rxfilename.endswith("|")
        self.name, self.offset = rxfilename, 0
        path, colon, offset = rxfilename.rpartition(":")
        if not self.is_command and colon and offset.isdigit():
            self.name, self.offset = path, int(offset)


def _slice(first: str | None, last: str | None) -> slice:
    # Kaldi's ranges include their end.
    return slice(int(first) if first else None, int(last) + 1 if last else None)


class ArchiveFiles:
    """Open archive files, read at offsets by pread.

    pread leaves no file position behind, so that threads and forked data loaders can share the handles. Pickling (for
    spawned workers) leaves the handles out. The least recently used file is closed when there are too many.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root) if root is not None else None
        self._handles: OrderedDict[str, int] = OrderedDict()

    def __getstate__(self) -> dict:
        return {"root": self.root, "_handles": OrderedDict()}

    def __del__(self) -> None:
        for handle in self._handles.values():
            os.close(handle)

    def _open(self, name: str) -> int:
        handle = self._handles.get(name)
        if handle is not None:
            self._handles.move_to_end(name)
            return handle
        candidates = [Path(name)] + ([self.root / name] if self.root is not None else [])
        path = next((p for p in candidates if p.exists()), None)
        if path is None:
            places = " nor ".join(str(p) for p in candidates)
            raise HdnnError(f"{places} does not exist; scp paths are relative to the directory where they were made")
        handle = os.open(path, os.O_RDONLY)
        self._handles[name] = handle
        if len(self._handles) > _MAX_OPEN_FILES:
            os.close(self._handles.popitem(last=False)[1])
        return handle

    def reader(self, name: str) -> Read:
        """A `read(count, offset)` function on the file; it gives less than `count` bytes at the file's end."""
        handle = self._open(name)
        size = os.fstat(handle).st_size
        # Never more than there is: a damaged header may ask for terabytes.
        return lambda count, offset: os.pread(handle, max(0, min(count, size - offset)), offset)


class MatrixTable:
    """Random access to the matrices of an scp file.

    Args:
        path: the scp file.
        root: where to look for relative paths that do not exist from the current directory.
    """

    def __init__(self, path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.lines = read_scp(path)
        self.files = ArchiveFiles(root)

    def _locate(self, key: str) -> tuple[_Entry, Read, str]:
        if key not in self.lines:
            raise HdnnError(f"{self.path}: key {key} is missing")
        entry = _Entry(self.lines[key])
        what = f"{entry.name}, key {key}"
        try:
            if entry.is_command:
                data = read_bytes(entry.name)
                return entry, lambda count, offset: data[offset : offset + count], what
            return entry, self.files.reader(entry.name), what
        except (OSError, HdnnError) as error:
            raise HdnnError(f"{self.path}, key {key}: {error}") from error

    def __getitem__(self, key: str) -> np.ndarray:
        """The matrix, float32 or float64 as stored, restricted to the line's range; may be read-only."""
        entry, read, what = self._locate(key)
        matrix = read_matrix(read, entry.offset, what)
        if entry.rows != slice(None) and (entry.rows.stop or 0) > len(matrix):
            raise HdnnError(f"{what}: rows up to {entry.rows.stop} asked for, {len(matrix)} there; make the scp again")
        return matrix[entry.rows, entry.columns]

    def shape(self, key: str) -> tuple[int, int]:
        """Rows and columns, from the header alone if possible."""
        entry, read, what = self._locate(key)
        header = read_header(read, entry.offset, what)
        if header.kind == "text":
            rows, columns = self[key].shape
            return rows, columns
        rows = len(range(header.rows)[entry.rows])
        return rows, len(range(header.columns)[entry.columns])


class FeatureReader:
    """Features of a data directory: `reader[utterance]` is float32 of shape (T, D).

    Args:
        data_dir: with feats.scp, and where needed utt2spk and cmvn.scp; utt2num_frames is used if it is there.
        cmvn_opts: options of apply-cmvn, such as `--norm-means=true --norm-vars=false`; empty: no normalisation.
        delta_opts: options of add-deltas, such as `--delta-order=2`; empty: no deltas.
        root: where to look for relative scp paths that do not exist from the current directory.

    Attributes:
        utts: utterances in the order of feats.scp.
        utt2spk: utterance -> speaker (the utterance itself where there is no utt2spk file).

    Raises (also while reading):
        HdnnError: names file and key of what is missing, truncated, of zero frames, or not finite.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        cmvn_opts: str = "",
        delta_opts: str = "",
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        self.data_dir = Path(data_dir)
        self.cmvn = Cmvn.parse(cmvn_opts)
        self.deltas = Deltas.parse(delta_opts)
        self.table = MatrixTable(self.data_dir / "feats.scp", root)
        self.utts = list(self.table.lines)
        if not self.utts:
            raise HdnnError(f"{self.table.path} is empty; extract the features")
        utt2spk = self.data_dir / "utt2spk"
        self.utt2spk = read_scp(utt2spk) if utt2spk.exists() else {utterance: utterance for utterance in self.utts}
        self._cmvn_stats: MatrixTable | None = None
        self._norms: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
        if self.cmvn is not None:
            if not utt2spk.exists():
                raise HdnnError(f"{utt2spk} does not exist, but normalisation by speaker was asked for")
            for utterance in self.utts:
                if utterance not in self.utt2spk:
                    raise HdnnError(f"{utt2spk}: utterance {utterance} is missing; run fix_data_dir.sh")
            self._cmvn_stats = MatrixTable(self.data_dir / "cmvn.scp", root)

    def __len__(self) -> int:
        return len(self.utts)

    def __contains__(self, utterance: str) -> bool:
        return utterance in self.table.lines

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        for utterance in self.utts:
            yield utterance, self[utterance]

    @cached_property
    def dim(self) -> int:
        """Columns of the features as delivered (deltas included)."""
        order = self.deltas.delta_order if self.deltas is not None else 0
        return self.table.shape(self.utts[0])[1] * (order + 1)

    @cached_property
    def num_frames(self) -> dict[str, int]:
        """Utterance -> frames, from utt2num_frames, else from the archives' headers."""
        path = self.data_dir / "utt2num_frames"
        if not path.exists():
            return {utterance: self.table.shape(utterance)[0] for utterance in self.utts}
        lines = read_scp(path)
        try:
            return {utterance: int(lines[utterance]) for utterance in self.utts}
        except (KeyError, ValueError) as error:
            raise HdnnError(f"{path}: no number of frames for {error}; remove the file, it is out of date") from error

    def _norm(self, speaker: str) -> tuple[np.ndarray, np.ndarray | None]:
        norm = self._norms.get(speaker)
        if norm is None:
            assert self.cmvn is not None
            assert self._cmvn_stats is not None
            norm = self.cmvn.offset_and_scale(self._cmvn_stats[speaker], f"{self._cmvn_stats.path}, speaker {speaker}")
            self._norms[speaker] = norm
        return norm

    def __getitem__(self, utterance: str) -> np.ndarray:
        features = self.table[utterance]
        if len(features) == 0:
            raise HdnnError(f"{self.table.path}: utterance {utterance} has no frames; remove it with fix_data_dir.sh")
        features = features.astype(np.float32, copy=False)
        if not np.isfinite(features).all():
            raise HdnnError(f"{self.table.path}: utterance {utterance} holds NaN or infinity; extract it again")
        if self.cmvn is not None:
            speaker = self.utt2spk[utterance]
            offset, scale = self._norm(speaker)
            if len(offset) != features.shape[1]:
                raise HdnnError(
                    f"{self.table.path}: utterance {utterance} has {features.shape[1]} dimensions, the CMVN statistics "
                    f"of speaker {speaker} have {len(offset)}; compute them again"
                )
            features = features + offset if scale is None else features * scale + offset
        if self.deltas is not None:
            features = self.deltas.apply(features)
        return features if features.flags.writeable else features.copy()
