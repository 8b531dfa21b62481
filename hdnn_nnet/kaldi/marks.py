"""What an entry of a table is, by its first bytes: the one door through which values are read.

Only Kaldi's marks and that of compact_posteriors pass. kaldiio by itself also takes entries that begin with `PKL`, which it
unpickles, so that an archive could run code; with `NPY` and others, which no program of Kaldi's reads.
"""

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import ByteStream

INTEGERS, TEXT, FST = "integers", "text", "fst"
COMPACT = "SP"
MATRICES = ("FM", "DM", "CM", "CM2", "CM3")
FST_MAGIC = b"\xd6\xfd\xb2\x7e"
_BLANKS = b" \t\r"
_TEXT = b"[+-0123456789\n"
_BINARY = {f"\0B{kind} ".encode()[:5]: kind for kind in (*MATRICES, "FV", "DV", COMPACT)}
_NAMES = {
    "FV": "a vector",
    "DV": "a vector",
    INTEGERS: "integers",
    TEXT: "text",
    FST: "an FST",
    "RIFF": "sound",
    COMPACT: "posteriors in compact form",
}


def kind_of(stream: ByteStream) -> str:
    """The kind of the value that comes next: `FM`, `DM`, `CM`, `CM2`, `CM3`, `FV`, `DV`, INTEGERS (a binary vector of
    integers or Posterior), COMPACT, TEXT, FST (a binary lattice) or `RIFF`.

    Raises:
        HdnnError: any other mark; file, key and mark are named.
    """
    mark = stream.look(5)
    if mark in _BINARY:
        return _BINARY[mark]
    if mark.startswith(b"\0B\4"):
        return INTEGERS
    if mark.startswith(FST_MAGIC):
        return FST
    # A line end: an empty vector, or a value that begins on the next line.
    if mark and (mark.lstrip(_BLANKS)[:1] or b"\n") in _TEXT:
        return TEXT
    if mark.startswith(b"RIFF"):
        return "RIFF"
    if not mark:
        raise stream.fail("the entry is truncated, nothing follows the key; regenerate it")
    raise stream.fail(
        f"no Kaldi matrix, vector or sound: the entry begins with {mark!r}; regenerate the archive, or its scp if the two "
        "do not belong together"
    )


def wrong_kind(stream: ByteStream, kind: str, wanted: str) -> HdnnError:
    """The error to raise for an entry of a known kind where another one is wanted."""
    return stream.fail(
        f"{_NAMES.get(kind, 'a matrix')}, not {wanted}: the entry begins with {stream.look(5)!r}; give a table of another kind"
    )
