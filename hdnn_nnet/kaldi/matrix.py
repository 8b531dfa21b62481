"""One Kaldi matrix at a byte offset of an archive: plain (`FM`, `DM`), compressed (`CM`, `CM2`, `CM3`) or text.

The compressed layouts are those of Kaldi's matrix/compressed-matrix. Bytes come through a `read(count, offset)`
function, so one and the same code serves files (pread) and pipes (memory).
"""

import struct
from collections.abc import Callable

import numpy as np

from hdnn_nnet.errors import HdnnError

Read = Callable[[int, int], bytes]

_HEADER_BYTES = 24  # longest header: mark 2, token 4, min 4, range 4, rows 4, columns 4
_TO_UINT16 = np.float32(1.52590218966964e-05)  # 1 / 65535, the constant in Kaldi


class MatrixHeader:
    """Kind, size and position of a stored matrix.

    Attributes:
        kind: `FM`, `DM`, `CM`, `CM2`, `CM3`, or `text`.
        rows, columns: the shape; for `text` 0, 0 until the data are read.
        data_offset: where the numbers begin.
        minimum, range: scaling of the compressed kinds.
    """

    __slots__ = ("columns", "data_offset", "kind", "minimum", "range", "rows")

    def __init__(self, kind: str, rows: int, columns: int, data_offset: int, minimum: float, range_: float) -> None:
        self.kind = kind
        self.rows = rows
        self.columns = columns
        self.data_offset = data_offset
        self.minimum = np.float32(minimum)
        self.range = np.float32(range_)

    @property
    def data_bytes(self) -> int:
        """Length of the data behind the header."""
        cells = self.rows * self.columns
        return {"FM": 4 * cells, "DM": 8 * cells, "CM": cells + 8 * self.columns, "CM2": 2 * cells, "CM3": cells}[
            self.kind
        ]


def read_header(read: Read, offset: int, what: str) -> MatrixHeader:
    """Read the header of the matrix at `offset`; `what` names file and key in errors."""
    head = read(_HEADER_BYTES, offset)
    if head[:2] != b"\0B":
        if head.lstrip()[:1] == b"[":
            return MatrixHeader("text", 0, 0, offset, 0, 0)
        raise HdnnError(f"{what}: no Kaldi matrix there; the archive is truncated or its scp is of another version")
    token, _, body = head[2:].partition(b" ")
    try:
        kind = token.decode("ascii")
        if kind in ("FM", "DM"):
            four, rows, four_too, columns = struct.unpack_from("<bibi", body)
            if (four, four_too) != (4, 4):
                raise ValueError("bad size bytes")
            minimum, range_, length = 0.0, 0.0, 10
        elif kind in ("CM", "CM2", "CM3"):
            minimum, range_, rows, columns = struct.unpack_from("<ffii", body)
            length = 16
        else:
            raise ValueError(f"type {kind!r}")
        if rows < 0 or columns < 0:
            raise ValueError(f"{rows} rows, {columns} columns")
    except (struct.error, ValueError) as error:
        raise HdnnError(f"{what}: not a Kaldi matrix ({error}); extract these features again") from error
    return MatrixHeader(kind, rows, columns, offset + 3 + len(kind) + length, minimum, range_)


def read_matrix(read: Read, offset: int, what: str) -> np.ndarray:
    """Read the matrix at `offset`; float32 (float64 for `DM`), shape (rows, columns), possibly of zero rows."""
    header = read_header(read, offset, what)
    if header.kind == "text":
        return _read_text(read, offset, what)
    data = read(header.data_bytes, header.data_offset)
    if len(data) != header.data_bytes:
        raise HdnnError(f"{what}: truncated archive, {header.data_bytes - len(data)} bytes are missing; extract again")
    shape = (header.rows, header.columns)
    if header.kind in ("FM", "DM"):
        return np.frombuffer(data, "<f4" if header.kind == "FM" else "<f8").reshape(shape)
    if header.kind == "CM":
        return _decode_cm(header, data)
    integers = np.frombuffer(data, "<u2" if header.kind == "CM2" else "u1").reshape(shape)
    increment = np.float32(np.float64(header.range) / (65535.0 if header.kind == "CM2" else 255.0))
    return header.minimum + increment * integers.astype(np.float32)


def percentiles_to_float(points: np.ndarray, minimum: np.float32, range_: np.float32) -> np.ndarray:
    """16-bit percentiles of a `CM` matrix as numbers, in Kaldi's single precision; any shape."""
    return minimum + range_ * _TO_UINT16 * points.astype(np.float32)


def _decode_cm(header: MatrixHeader, data: bytes) -> np.ndarray:
    """Column-wise 8-bit codes: linear between the column's minimum, 25 % and 75 % percentile and maximum."""
    columns = header.columns
    points = np.frombuffer(data, "<u2", 4 * columns).reshape(columns, 4)
    p0, p25, p75, p100 = percentiles_to_float(points, header.minimum, header.range).T
    # Kaldi's precision: code times span in single, the step and the sum in double, the result in single.
    code = np.arange(256, dtype=np.float32)[:, None]
    table = np.where(
        code <= 64,
        p0 + ((p25 - p0) * code).astype(np.float64) * (1 / 64.0),
        np.where(
            code <= 192,
            p25 + ((p75 - p25) * (code - 64)).astype(np.float64) * (1 / 128.0),
            p75 + ((p100 - p75) * (code - 192)).astype(np.float64) * (1 / 63.0),
        ),
    ).astype(np.float32)
    codes = np.frombuffer(data, "u1", offset=8 * columns).reshape(columns, header.rows)
    # One flat gather: value (t, d) is table[code, d].
    flat = codes.T.astype(np.intp)
    flat *= columns
    flat += np.arange(columns)
    return table.ravel().take(flat)


def _read_text(read: Read, offset: int, what: str) -> np.ndarray:
    text = b""
    while b"]" not in text:
        piece = read(1 << 16, offset + len(text))
        if not piece:
            raise HdnnError(f"{what}: truncated text matrix, ']' is missing; extract again")
        text += piece
    rows = [line.split() for line in text[text.index(b"[") + 1 : text.index(b"]")].split(b"\n") if line.strip()]
    try:
        return np.array(rows, dtype=np.float32).reshape(len(rows), -1 if rows else 0)
    except ValueError as error:
        raise HdnnError(f"{what}: bad text matrix ({error}); extract again") from error
