"""One Kaldi matrix: plain (`FM`, `DM`), compressed (`CM`, `CM2`, `CM3`) or text.

Plain ones are read by kaldiio. Compressed ones are not: it rounds otherwise than Kaldi's matrix/compressed-matrix in a
quarter to a half of the values, and takes longer, as it does for text (tests/test_kaldiio.py).
"""

import struct

import numpy as np
from kaldiio.matio import read_matrix_or_vector

from hdnn_nnet.kaldi.basic_io import parse_rows
from hdnn_nnet.kaldi.byte_stream import ByteStream
from hdnn_nnet.kaldi.marks import MATRICES, TEXT, kind_of, wrong_kind

_PLAIN = ("FM", "DM")
_HEADER_BYTES = 24  # longest header: mark 2, token 4, min 4, range 4, rows 4, columns 4
_TO_UINT16 = np.float32(1.52590218966964e-05)  # 1 / 65535, the constant in Kaldi


class MatrixHeader:
    """Kind, size and length of a stored matrix.

    Attributes:
        kind: `FM`, `DM`, `CM`, `CM2` or `CM3`.
        rows, columns: the shape.
        length: bytes of the header.
        minimum, range: scaling of the compressed kinds.
    """

    __slots__ = ("columns", "kind", "length", "minimum", "range", "rows")

    def __init__(self, kind: str, rows: int, columns: int, length: int, minimum: float, range_: float) -> None:
        self.kind = kind
        self.rows = rows
        self.columns = columns
        self.length = length
        self.minimum = np.float32(minimum)
        self.range = np.float32(range_)


def matrix_kind(stream: ByteStream) -> str:
    """The kind of the matrix that comes next: one of MATRICES, or TEXT.

    Raises:
        HdnnError: something else.
    """
    kind = kind_of(stream)
    if kind not in MATRICES and not (kind == TEXT and stream.look(_HEADER_BYTES).lstrip()[:1] == b"["):
        raise wrong_kind(stream, kind, "a matrix")
    return kind


def read_header(stream: ByteStream, kind: str) -> MatrixHeader:
    """The header of a binary matrix, which stays in the stream."""
    head = stream.look(_HEADER_BYTES)
    body = head[3 + len(kind) :]
    try:
        if head[2 + len(kind) : 3 + len(kind)] != b" ":
            raise ValueError(f"type {head[2:6]!r}")
        if kind in _PLAIN:
            four, rows, four_too, columns = struct.unpack_from("<bibi", body)
            if (four, four_too) != (4, 4):
                raise ValueError("bad size bytes")
            minimum, range_, length = 0.0, 0.0, 10
        else:
            minimum, range_, rows, columns = struct.unpack_from("<ffii", body)
            length = 16
        if rows < 0 or columns < 0:
            raise ValueError(f"{rows} rows, {columns} columns")
    except (struct.error, ValueError) as error:
        raise stream.fail(f"not a Kaldi matrix ({error}); regenerate it") from error
    return MatrixHeader(kind, rows, columns, 3 + len(kind) + length, minimum, range_)


def read_matrix(stream: ByteStream) -> np.ndarray:
    """Take the next matrix; float32 (float64 for `DM`), shape (rows, columns), possibly of zero rows; may be read-only.

    Raises:
        HdnnError: no matrix, or a damaged one.
    """
    kind = matrix_kind(stream)
    if kind == TEXT:
        return _read_text(stream)
    if kind in _PLAIN:
        try:
            return read_matrix_or_vector(stream)
        except (AssertionError, ValueError, struct.error) as error:
            raise stream.fail(f"not a Kaldi matrix ({error or 'bad size bytes'}); regenerate it") from error
    header = read_header(stream, kind)
    stream.read(header.length)
    if kind == "CM":
        return _decode_cm(header, stream.read(header.rows * header.columns + 8 * header.columns))
    dtype, steps = ("<u2", 65535.0) if kind == "CM2" else ("u1", 255.0)
    count = header.rows * header.columns
    integers = np.frombuffer(stream.read(np.dtype(dtype).itemsize * count), dtype).reshape(header.rows, header.columns)
    increment = np.float32(np.float64(header.range) / steps)
    return header.minimum + increment * integers.astype(np.float32)


def percentiles_to_float(points: np.ndarray, minimum: np.float32, range_: np.float32) -> np.ndarray:
    """16-bit percentiles of a `CM` matrix as numbers, in Kaldi's single precision; any shape."""
    return minimum + range_ * _TO_UINT16 * points.astype(np.float32)


def _decode_cm(header: MatrixHeader, data: bytes | memoryview) -> np.ndarray:
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


def _read_text(stream: ByteStream) -> np.ndarray:
    end = stream.find(b"]")
    if end < 0:
        raise stream.fail("truncated text matrix, ']' is missing; regenerate it")
    text = bytes(stream.read(end + 1))
    try:
        return parse_rows(text[text.index(b"[") + 1 : end])
    except ValueError as error:
        raise stream.fail(f"bad text matrix ({error}); regenerate it") from error
