"""The door to tables: only Kaldi's entries pass, whatever they come through; streams in bounded memory."""

import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import ByteStream, Truncated
from hdnn_nnet.kaldi.int_vectors import IntVectorWriter, int_vector_bytes
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.matrix_writer import matrix_bytes
from hdnn_nnet.kaldi.posteriors import PosteriorTable, SparsePosteriors, read_posteriors, to_bytes
from hdnn_nnet.kaldi.script_table import ScriptTable, read_scp
from hdnn_nnet.kaldi.tables import read_int_vectors, read_matrices
from hdnn_nnet.lattice.io import to_binary, to_text
from hdnn_nnet.lattice.table import LatticeWriter, read_lattice, read_lattices
from hdnn_nnet.lattice.types import COMPACT_ARC, CompactLattice
from hdnn_nnet.train.soft_sources import open_soft_labels

Reader = Callable[[Any], Iterator[tuple[str, Any]]]
READERS: dict[str, Reader] = {
    "matrices": read_matrices,
    "integers": read_int_vectors,
    "posteriors": read_posteriors,
    "lattices": read_lattices,
}
TABLES: dict[str, type[ScriptTable]] = {"matrices": MatrixTable, "posteriors": PosteriorTable}
ways = pytest.mark.parametrize("way", ["ark", "gz", "pipe", "gunzip", "stdin", "scp", "scp of pipes", "scp of gz"])


def offer(content: bytes, way: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """An rspecifier for an archive with the entry `utt1`, and what the name of the file in messages must hold."""
    ark, gz, scp = folder / "some.ark", folder / "some.gz", folder / "some.scp"
    ark.write_bytes(b"utt1 " + content)
    gz.write_bytes(gzip.compress(b"utt1 " + content))
    if way == "stdin":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"utt1 " + content)))
        return "ark:-", "standard input"
    if way.startswith("scp"):
        places = {"scp": f"{ark}:5", "scp of pipes": f"tail -c +6 {ark} |", "scp of gz": f"{gz}:5"}
        scp.write_text(f"utt1 {places[way]}\n")
        return f"scp:{scp}", "some"
    names = {"ark": f"ark:{ark}", "gz": str(gz), "pipe": f"ark:cat {ark} |", "gunzip": f"ark,s,cs:gunzip -c {gz} |"}
    return names[way], "some"


class Trap:
    """Unpickling it makes a directory."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.place,)


@ways
@pytest.mark.parametrize("kind", READERS)
def test_nothing_is_unpickled(way: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "ran"
    where, name = offer(b"PKL" + pickle.dumps(Trap(place)), way, tmp_path, monkeypatch)
    with pytest.raises(HdnnError, match=rf"{name}.*key utt1: .*b'PKL\\x80"):
        list(READERS[kind](where))
    if way.startswith("scp") and kind in TABLES:
        with pytest.raises(HdnnError, match=r"some.*key utt1: .*b'PKL\\x80"):
            TABLES[kind](where.removeprefix("scp:"))["utt1"]
    assert not place.exists()


def test_kaldiio_alone_would_run_it(tmp_path: Path) -> None:
    """Why the door is there; the trap above is a real one."""
    (tmp_path / "some.ark").write_bytes(b"utt1 PKL" + pickle.dumps(Trap(tmp_path / "ran")))
    list(kaldiio.load_ark(str(tmp_path / "some.ark")))
    assert (tmp_path / "ran").is_dir()


def test_soft_labels_are_not_unpickled(tmp_path: Path) -> None:
    (tmp_path / "some.ark").write_bytes(b"utt1 PKL" + pickle.dumps(Trap(tmp_path / "ran")))
    (tmp_path / "some.scp").write_text(f"utt1 {tmp_path}/some.ark:5\n")
    for where in (tmp_path / "some.ark", tmp_path / "some.scp", f"ark:cat {tmp_path}/some.ark |"):
        with pytest.raises(HdnnError, match=r"some\.ark.*key utt1: .*b'PKL\\x80"):
            open_soft_labels(where, 10, 1.0, 0.9)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "mark", [b"PKL", b"NPY", b"AUDIO", b"fLaC", b"OggS", b"\0BSM ", b"\0B<Nnet3Eg> ", b"\0BXM ", b"hello", b"\xff\xfe"]
)
def test_other_marks_are_refused(kind: str, mark: bytes, tmp_path: Path) -> None:
    (tmp_path / "some.ark").write_bytes(b"utt1 " + mark + bytes(100))
    with pytest.raises(HdnnError) as caught:
        list(READERS[kind](tmp_path / "some.ark"))
    assert "some.ark, key utt1: " in str(caught.value)
    assert repr((mark + bytes(5))[:5]) in str(caught.value)
    assert "\n" not in str(caught.value)


VALUES: dict[str, bytes] = {
    "matrices": matrix_bytes(np.zeros((2, 3), np.float32)),
    "vectors": b"\0BFV \4\2\0\0\0" + bytes(8),
    "integers": int_vector_bytes([70000, 2]),
    "posteriors": to_bytes(SparsePosteriors(np.array([0, 1]), np.array([3], np.int32), np.ones(1, np.float32))),
    "lattices": to_binary(
        CompactLattice(
            0, np.array([0, 0]), np.zeros(0, COMPACT_ARC), np.zeros((1, 2), np.float32), np.zeros(1, np.int64),
            np.zeros(0, np.int32), np.zeros(2, np.int64), np.zeros(0, np.int32),
        )
    ),
    "sound": b"RIFF" + bytes(40),
}  # fmt: skip


#: a Posterior begins like a vector of integers, in Kaldi too
PAIRS = [(given_, wanted) for given_ in VALUES for wanted in READERS if (given_, wanted) != ("posteriors", "integers")]


@ways
@pytest.mark.parametrize(("given_", "wanted"), PAIRS)
def test_one_kind_is_not_taken_for_another(
    way: str, given_: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name = offer(VALUES[given_], way, tmp_path, monkeypatch)
    if wanted == given_:
        assert [key for key, _ in READERS[wanted](where)] == ["utt1"]
    else:
        with pytest.raises(HdnnError, match=rf"{name}.*key utt1: "):
            list(READERS[wanted](where))


@settings(max_examples=400, deadline=None)
@given(data=st.data(), kind=st.sampled_from(list(VALUES)), reader=st.sampled_from(list(READERS)), script=st.booleans())
def test_damage_is_an_error_of_ours_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str, reader: str, script: bool
) -> None:
    """Any few bytes of an archive changed: no other exception, no crash, no gigabytes."""
    whole = bytearray(b"utt1 " + VALUES[kind] + b"utt2 " + VALUES[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(
            st.sampled_from(b"\0\4\x7f\xff []\n19") | st.integers(0, 255)
        )
    path = tmp_path_factory.getbasetemp() / "changed.ark"
    path.write_bytes(whole)
    scp = path.with_suffix(".scp")
    scp.write_text(f"utt1 {path}:5\n")
    message = "changed."
    try:
        list(READERS[reader](scp if script else path))
    except HdnnError as error:
        message = str(error)
    assert "changed." in message
    assert "\n" not in message


def test_a_file_that_begins_with_a_value(tmp_path: Path) -> None:
    for kind, reader in READERS.items():
        (tmp_path / "some.ark").write_bytes(VALUES[kind])
        with pytest.raises(HdnnError, match=r"some\.ark: an entry without key after the start"):
            list(reader(tmp_path / "some.ark"))


def test_a_command_that_fails_tells_more_than_what_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "some.ark").write_bytes(b"utt1 " + VALUES["matrices"] + b"utt2 \0BFM \4")
    for reader in READERS.values():
        with pytest.raises(HdnnError, match="the command failed with status 7"):
            list(reader(f"ark:cat {tmp_path}/some.ark; exit 7 |"))
    with pytest.raises(HdnnError, match="key utt2"):
        list(read_matrices(f"ark:cat {tmp_path}/some.ark |"))


def test_text_as_kaldi_writes_it(tmp_path: Path) -> None:
    """Line ends of either kind, empty values, several blanks, a matrix of one row; no number is bent to fit."""
    (tmp_path / "m").write_bytes(b"a  [\n  1 2 \n  3 4 ]\nb [ ]\r\nc [ 1e-3 -5 ]\n")
    found = dict(read_matrices(tmp_path / "m"))
    assert {key: matrix.tolist() for key, matrix in found.items()} == {
        "a": [[1, 2], [3, 4]], "b": [], "c": [[np.float32(1e-3), -5]],
    }  # fmt: skip
    for line in ("a [ 1 inf ]\n", "a [ 1 2\n 3 ]\n", "a [ 1 x ]\n", "a [ 1 2\n", "a 1 2\n"):
        (tmp_path / "m").write_text(line)
        with pytest.raises(HdnnError, match=r"m, key a: "):
            list(read_matrices(tmp_path / "m"))
    (tmp_path / "i").write_bytes(b"a 1 -2 3 \nb \nc\nd\t7\r\n\n")
    assert {k: v.tolist() for k, v in read_int_vectors(tmp_path / "i")} == {"a": [1, -2, 3], "b": [], "c": [], "d": [7]}
    for line in ("a 2147483648\n", "a -2147483649\n", f"a {10**30}\n", "a 1.5\n", "a 1 2"):
        (tmp_path / "i").write_text(line)
        with pytest.raises(HdnnError, match=r"i, key a: "):
            list(read_int_vectors(tmp_path / "i"))
    (tmp_path / "p").write_text("a [ 2147483648 0.5 ]\n")
    with pytest.raises(HdnnError, match=r"p, key a: not a posterior in text form"):
        list(read_posteriors(tmp_path / "p"))


def test_process_substitution(tmp_path: Path) -> None:
    """A name that is a pipe, as bash's <(command) makes it, and standard input from a file that was read in part."""
    (tmp_path / "some.ark").write_bytes(b"utt0 1 2\nutt1 3\n")
    program = (
        "import sys; from hdnn_nnet.kaldi.tables import read_int_vectors as r; print([k for k, _ in r(sys.argv[1])])"
    )
    for words, expected in (
        (f"{sys.executable} -c '{program}' ark:<(cat {tmp_path}/some.ark)", "['utt0', 'utt1']"),
        (f"(read -r line; {sys.executable} -c '{program}' ark:-) < {tmp_path}/some.ark", "['utt1']"),
    ):
        done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def test_scripts_and_script_files_from_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.ark").write_bytes(b"utt1 " + VALUES["matrices"])
    (tmp_path / "some.scp").write_text(f"utt1 {tmp_path}/some.ark:5\n" * 2)
    with pytest.raises(HdnnError, match=r"some\.scp, line 2: key utt1 occurs twice"):
        read_scp(tmp_path / "some.scp")
    for where in (f"scp:head -n 1 {tmp_path}/some.scp |", "scp:-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"utt1 {tmp_path}/some.ark:5\n".encode())))
        assert [(key, matrix.shape) for key, matrix in read_matrices(where)] == [("utt1", (2, 3))]
    with pytest.raises(HdnnError, match="the command failed"):
        list(read_matrices("scp:false |"))
    (tmp_path / "some.scp").write_text(f"utt1 {tmp_path}\n")
    with pytest.raises(HdnnError, match=r"utt1.*Is a directory"):
        list(read_matrices(tmp_path / "some.scp"))
    (tmp_path / "some.scp").write_bytes(b"utt\xe9 x\n")
    with pytest.raises(HdnnError, match=r"some\.scp, line 1: not UTF-8"):
        read_scp(tmp_path / "some.scp")


def test_empty_lattices_in_text(tmp_path: Path) -> None:
    """Kaldi writes a lattice without paths as an empty line."""
    none = CompactLattice(
        -1, np.zeros(1, np.int64), np.zeros(0, COMPACT_ARC), np.zeros((0, 2), np.float32), np.zeros(1, np.int64),
        np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32),
    )  # fmt: skip
    _, one = next(read_lattices(_archive(tmp_path, VALUES["lattices"])))
    for order in ([none, one], [one, none], [none, none]):
        with LatticeWriter(f"ark,t:{tmp_path}/lat.txt") as writer:
            for number, lattice in enumerate(order):
                writer.write_lattice(f"u{number}", lattice)
        assert [lattice.start for _, lattice in read_lattices(tmp_path / "lat.txt")] == [x.start for x in order]
    (tmp_path / "one.lat").write_text(to_text(one))
    assert read_lattice(tmp_path / "one.lat").start == 0


def _archive(folder: Path, value: bytes) -> Path:
    (folder / "some.ark").write_bytes(b"utt1 " + value)
    return folder / "some.ark"


class Crumbs(io.BytesIO):
    """A stream that gives little at a time, as a pipe may."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read1(self, size: int | None = -1) -> bytes:
        return super().read1(min(size or 1, self.most))

    def readinto(self, buffer: Any) -> int:
        return super().readinto(memoryview(buffer)[: self.most])


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(st.binary(max_size=40), max_size=8), most=st.integers(1, 30), ahead=st.integers(1, 50))
def test_streams_give_the_same_in_any_pieces(pieces: list[bytes], most: int, ahead: int) -> None:
    """Values that say their length are read, looked at, found and parsed alike, however the bytes arrive."""
    data = b"".join(struct.pack("<i", len(piece)) + piece + b"|" for piece in pieces)

    def parse(buffer: bytes, position: int) -> tuple[bytes, int]:
        if len(buffer) < position + 4:
            raise Truncated
        end = position + 4 + struct.unpack_from("<i", buffer, position)[0]
        if len(buffer) < end:
            raise Truncated
        return buffer[position + 4 : end], end

    stream = ByteStream(Crumbs(data, most), "x", ahead=ahead)
    for number, piece in enumerate(pieces):
        if number % 2:
            assert stream.parse(parse) == piece
        else:
            (count,) = struct.unpack("<i", stream.look(4))
            stream.read(4)
            assert stream.find(b"|", count) == count
            assert bytes(stream.read(count)) == piece
        assert bytes(stream.read(1)) == b"|"
    assert stream.look(1) == b""
    with pytest.raises(HdnnError, match="x: truncated archive, 5 bytes are missing"):
        stream.read(5)
    with pytest.raises(HdnnError, match="x: the entry is truncated"):
        stream.parse(parse)


MEMORY = """
import resource, sys
import hdnn_nnet.kaldi.tables, hdnn_nnet.kaldi.posteriors, hdnn_nnet.lattice.table
module, function, where = sys.argv[1:]
read = getattr(sys.modules[module], function)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(1 for _ in read(where)), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", READERS)
def test_archives_are_streamed_in_bounded_memory(kind: str, tmp_path: Path) -> None:
    """Some 60 MB of entries of 200 kB, from a file and from a gzipped one."""
    rows = 5000
    counts = np.full(rows, 4)
    one = SparsePosteriors(
        np.cumsum([0, *counts]), np.arange(counts.sum()).astype(np.int32), np.ones(counts.sum(), np.float32)
    )
    chain = CompactLattice(
        0, np.minimum(np.arange(rows + 1), rows - 1), np.array([(1, 0, 0, i + 1) for i in range(rows - 1)], COMPACT_ARC),
        np.where(np.arange(rows)[:, None] < rows - 1, np.inf, np.zeros(2)).astype(np.float32), np.zeros(rows, np.int64),
        np.zeros(0, np.int32), np.zeros(rows + 1, np.int64), np.zeros(0, np.int32),
    )  # fmt: skip
    value = {
        "matrices": matrix_bytes(np.zeros((rows, 10), np.float32)),
        "integers": int_vector_bytes(np.arange(8 * rows)),
        "posteriors": to_bytes(one),
        "lattices": to_binary(chain),
    }[kind]
    count = 60_000_000 // len(value)
    with open(tmp_path / "big.ark", "wb") as archive, gzip.open(tmp_path / "big.gz", "wb", 1) as packed:
        for number in range(count):
            archive.write(b"utt%d " % number + value)
            packed.write(b"utt%d " % number + value)
    reader = READERS[kind]
    for name in ("big.ark", "big.gz"):
        words = [sys.executable, "-c", MEMORY, reader.__module__, reader.__name__, str(tmp_path / name)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
        entries, megabytes = map(int, done.stdout.split())
        assert entries == count
        assert megabytes < 16


def test_vectors_to_any_wspecifier(tmp_path: Path) -> None:
    with IntVectorWriter(f"ark,scp:{tmp_path}/a.ark,{tmp_path}/a.scp") as writer:
        writer.write_vector("x", [1, 2])
        writer.write_vector("y", [])
    for where in (tmp_path / "a.ark", tmp_path / "a.scp", f"ark:cat {tmp_path}/a.ark |"):
        assert {k: v.tolist() for k, v in read_int_vectors(where)} == {"x": [1, 2], "y": []}
    for wspecifier in ("scp:x.scp", "ark,scp:x.ark", "ark,q:x.ark", "ark,scp:-,x.scp", "ark,scp:x.ark,", "scp,ark:a,b"):
        with pytest.raises(HdnnError, match="ark"):
            IntVectorWriter(wspecifier)
