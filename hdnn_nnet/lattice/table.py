"""Tables of lattices: archives (binary or text, `.gz`, pipes), script files with offsets, single files without key."""

import os
from collections.abc import Iterator

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import ByteStream, open_stream
from hdnn_nnet.kaldi.marks import FST, TEXT, kind_of
from hdnn_nnet.kaldi.rxfile import open_input, parse_specifier
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.table_writer import TableWriter
from hdnn_nnet.kaldi.tables import read_archive
from hdnn_nnet.lattice.io import HEADER_ROOM, parse_binary, parse_text, to_binary, to_text
from hdnn_nnet.lattice.types import AnyLattice
from hdnn_nnet.text import words


def _read_value(stream: ByteStream) -> AnyLattice:
    """Take the next lattice."""
    kind = kind_of(stream)
    where = stream.name
    if kind == FST:
        stream.need(HEADER_ROOM)
        return stream.parse(lambda data, position: parse_binary(data, position, where))
    if kind != TEXT:
        raise stream.fail(f"neither a binary nor a text lattice: it begins with {stream.look(5)!r}; regenerate it")
    # The rest of the key's line is empty in text form.
    first = stream.find(b"\n") if stream.look(1).isspace() else -1
    end = _end_of_text(stream, first + 1)
    try:
        text = bytes(stream.read(end)).decode("ascii")
    except UnicodeDecodeError as error:
        raise stream.fail("the lattice is not text; regenerate it") from error
    return parse_text([line for line in text[first + 1 :].split("\n") if words(line)], where)


def _end_of_text(stream: ByteStream, begin: int) -> int:
    """Bytes up to the end of the first line, from `begin` on, that holds nothing but blanks: it ends a lattice."""
    while (end := stream.find(b"\n", begin)) >= 0:
        if not stream.buffer[stream.at + begin : stream.at + end].strip():
            return end + 1
        begin = end + 1
    raise stream.fail("the lattice is truncated (no empty line after it); regenerate it")


def read_lattice(rxfilename: str | os.PathLike[str]) -> AnyLattice:
    """Read one lattice without key: a path (also `.gz`), `path:offset` or `command |`, binary or text.

    Raises:
        HdnnError: missing, damaged or truncated file.
    """
    with open_input(rxfilename) as source:
        return _read_value(open_stream(source, str(rxfilename)))


def read_lattices(rspecifier: str | os.PathLike[str]) -> Iterator[tuple[str, AnyLattice]]:
    """Yield `(key, lattice)` from a Kaldi table; a plain path is an archive (`.gz` too) or, with `.scp`, a script file.

    Raises:
        HdnnError: missing, damaged or truncated table; the message names file and key.
    """
    archive, script, _ = parse_specifier(rspecifier)
    if archive is not None:
        yield from read_archive(archive, _read_value)
    elif script is not None:
        for key, value in read_scp(script).items():
            try:
                yield key, read_lattice(value)
            except HdnnError as error:
                raise HdnnError(f"{script}, key {key}: {error}") from error


class LatticeWriter(TableWriter):
    """A table of lattices; `ark,t:` writes the text form."""

    def write_lattice(self, key: str, lattice: AnyLattice) -> None:
        """Write one lattice of either type."""
        if self.text:
            # Kaldi reads a text lattice from the line after its key.
            self.write(key, b"\n" + to_text(lattice).encode())
        else:
            self.write(key, to_binary(lattice))
