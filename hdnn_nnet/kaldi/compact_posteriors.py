r"""A compact form of Posterior tables, of our own: two to three bytes an entry where Kaldi's binary form takes ten.

The value of an entry, all little-endian:

    mark      `\0BSP `
    head      frames, bytes of the numbers, entries (int32), scale (float32), CRC-32 of all other bytes (uint32)
    numbers   how many entries each frame has; then their pdfs, ascending in each frame: the first one as it is, the others as
              the difference to the one before. A number is a LEB128: 7 bits a byte, lowest first, the high bit set in all but
              the last
    codes     a byte for each entry

Code c is the weight scale * (c / 255)^6; the scale is the largest weight. The nearest code changes a weight w by at most
1.2 % * (w / scale)^(-1/6), below 6e-17 of the scale to 0. An even step in the square root of p would cost each entry the same
Kullback-Leibler divergence at temperature 1, and lose what matters at higher ones; the sixth root is that step at temperature 3.
"""

import struct
import zlib

import numpy as np

from hdnn_nnet.kaldi.byte_stream import ByteStream
from hdnn_nnet.kaldi.marks import COMPACT
from hdnn_nnet.ragged import cumulative

MARK = f"\0B{COMPACT} ".encode()
_HEAD = struct.Struct("<iiifI")
_CRC = struct.calcsize("<I")
#: bytes from which `frames_of` tells the frames
FRAMES_HEAD = len(MARK) + struct.calcsize("<i")
_LONGEST = 5  # bytes of a number below 2^31
_LEVELS = np.arange(256).astype(np.float64) ** 6 / 255.0**6  # whole numbers below 2^53: the same on every machine
_BOUNDS = (2 * np.arange(255) + 1).astype(np.float64) ** 6 / 510.0**6  # half-way between codes
_WEIGHTS = _LEVELS.astype(np.float32)


def _to_leb128(numbers: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 2^31 - 1 to bytes, uint8."""
    lengths = np.ones(len(numbers), np.int64)
    for place in range(1, _LONGEST):
        lengths += numbers >> 7 * place > 0
    ends = np.cumsum(lengths)
    coded = np.empty(ends[-1] if len(ends) else 0, np.uint8)
    for place in range(_LONGEST):
        longer = np.flatnonzero(lengths > place)
        more = (lengths[longer] > place + 1) << 7
        coded[ends[longer] - lengths[longer] + place] = numbers[longer] >> 7 * place & 127 | more
    return coded


def _from_leb128(coded: np.ndarray) -> np.ndarray | None:
    """Bytes, uint8, to numbers, int64; None where they are no numbers below 2^31."""
    ends = np.flatnonzero(coded < 128)
    if len(coded) and (not len(ends) or ends[-1] != len(coded) - 1):
        return None
    lengths = np.diff(ends, prepend=-1)
    if lengths.max(initial=1) > _LONGEST:
        return None
    numbers = coded[ends].astype(np.int64)
    for place in range(1, lengths.max(initial=1)):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] = numbers[longer] << 7 | coded[ends[longer] - place] & 127
    return numbers if numbers.max(initial=0) < 1 << 31 else None


def pack(offsets: np.ndarray, pdfs: np.ndarray, weights: np.ndarray) -> bytes:
    """What follows the key and a space in an archive; the arguments are those of SparsePosteriors.

    Raises:
        ValueError: a weight that is negative, NaN or infinite, or a negative pdf.
    """
    if not (weights >= 0).all() or not np.isfinite(weights).all() or pdfs.min(initial=0) < 0:
        raise ValueError("the compact form holds finite weights from 0 on, and pdfs from 0 on; write --form kaldi")
    counts = np.diff(offsets)
    order = np.lexsort((pdfs, np.repeat(np.arange(len(counts)), counts)))
    steps = np.diff(pdfs[order].astype(np.int64), prepend=0)
    first = offsets[:-1][counts > 0]
    steps[first] = pdfs[order][first]
    scale = np.float32(weights.max(initial=0))
    shares = weights[order].astype(np.float64) / (float(scale) or 1.0)
    numbers = _to_leb128(np.concatenate([counts, steps])).tobytes()
    head = MARK + _HEAD.pack(len(counts), len(numbers), len(pdfs), scale, 0)[:-_CRC]
    body = numbers + np.searchsorted(_BOUNDS, shares).astype(np.uint8).tobytes()
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


def frames_of(head: bytes) -> int:
    """The frames of an entry from its first FRAMES_HEAD bytes."""
    return int.from_bytes(head[len(MARK) : FRAMES_HEAD], "little", signed=True)


def unpack(stream: ByteStream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take an entry, which begins with MARK: offsets, pdfs and weights as SparsePosteriors has them.

    Raises:
        HdnnError: a truncated or damaged entry.
    """
    head = bytes(stream.read(len(MARK) + _HEAD.size))
    frames, size, entries, scale, crc = _HEAD.unpack_from(head, len(MARK))
    if min(frames, size, entries) < 0:
        raise stream.fail("the head of the entry is damaged; regenerate it")
    body = stream.read(size + entries)
    if zlib.crc32(body, zlib.crc32(head[:-_CRC])) != crc:
        raise stream.fail("the entry is damaged, its checksum is another; regenerate it")
    numbers = _from_leb128(np.frombuffer(body, np.uint8, size))
    if numbers is None or len(numbers) != frames + entries or not 0 <= scale < np.inf:
        raise stream.fail("no posteriors in compact form; regenerate it")
    offsets, steps = cumulative(numbers[:frames]), numbers[frames:]
    sums = cumulative(steps)
    if offsets[-1] != entries:
        raise stream.fail("no posteriors in compact form; regenerate it")
    pdfs = sums[1:] - np.repeat(sums[offsets[:-1]], numbers[:frames])
    if pdfs.max(initial=0) >= 1 << 31:
        raise stream.fail("a pdf beyond 32 bits; regenerate it")
    codes = np.frombuffer(body, np.uint8, entries, size)
    return offsets, pdfs.astype(np.int32), _WEIGHTS[codes] * np.float32(scale)
