"""Disks that are full and directories that cannot be written to: every writer names the file and leaves nothing half-written."""

import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from hdnn_nnet import atomic
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.fst import ARC, Fst, write_fst
from hdnn_nnet.kaldi.matrix_writer import MatrixWriter, write_matrices
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.lang.arpa import read_arpa, write_arpa
from hdnn_nnet.lang.grammar import format_lm, make_grammar
from hdnn_nnet.lang.lexicon import train_pieces
from hdnn_nnet.nn.tensor_file import save_tensors
from hdnn_nnet.score.figures import pyplot, save
from hdnn_nnet.train.events import Events
from tests.support.small_task import transition_model

LIMIT = 300  # bytes: what the "disk" takes of a file
REPOSITORY = Path(__file__).resolve().parent.parent


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond LIMIT: the writes fail as on a full disk, with another error number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lang directory and a language model."""
    folder = tmp_path_factory.mktemp("lang")
    words = [f"w{i}" for i in range(200)]
    symbols = ["<eps>", "<s>", "</s>", *words, "#0"]
    (folder / "words.txt").write_text("".join(f"{word} {i}\n" for i, word in enumerate(symbols)))
    entries = "".join(f"-3 {word}\n" for word in ["<s>", "</s>", *words])
    (folder / "arpa").write_text(f"\\data\\\nngram 1={len(words) + 2}\n\n\\1-grams:\n{entries}\n\\end\\\n")
    return folder


def matrices(wspecifier: str) -> None:
    with MatrixWriter(wspecifier) as writer:
        for i in range(20):
            writer.write_matrix(f"u{i}", np.random.default_rng(i).standard_normal((50, 20)).astype(np.float32))


def figure(path: Path) -> None:
    drawn, axes = pyplot().subplots()
    axes.plot(np.arange(100) ** 2)
    save(drawn, path)


def events(folder: Path) -> None:
    writer = Events(folder)
    for step in range(100):
        writer.add({"loss": 1.0}, step)


ARCS = np.zeros(100, ARC)
IDS = np.random.default_rng(0).integers(1, 10**6, 5000).astype(np.int32)
#: what is written -> (name, writer given path and source directory)
WRITERS: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
    "archive": ("a.ark", lambda path, _: matrices(f"ark:{path}")),
    "text archive": ("a.ark", lambda path, _: matrices(f"ark,t:{path}")),
    "archive and script": ("a.ark", lambda path, _: matrices(f"ark,scp:{path},{path}.scp")),
    "compressed": ("a.ark", lambda p, _: write_matrices(p, f"{p}.scp", [("u", np.random.rand(90, 20))], compress=True)),
    "tensors": ("x.safetensors", lambda path, _: save_tensors({"x": torch.zeros(1000)}, path)),
    "text": ("x", lambda path, _: atomic.write_text(path, "x" * 1000)),
    "copy": ("x", lambda path, source: atomic.copy_file(source / "arpa", path)),
    "alignments": ("ali.1.gz", lambda path, _: write_alignments(path, {"u": IDS})),
    "graph": ("HCLG.fst", lambda p, _: write_fst(p, Fst(0, np.zeros(1, np.float32), np.array([0, 100]), ARCS))),
    "model": ("final.mdl", lambda path, _: transition_model().write(path)),
    "language model": ("lm.arpa", lambda path, source: write_arpa(read_arpa(source / "arpa"), path)),
    "language model, gzip": ("lm.arpa.gz", lambda path, source: write_arpa(read_arpa(source / "arpa"), path)),
    "grammar": (
        "G.fst",
        lambda path, source: make_grammar(source / "arpa", SymbolTable.read(source / "words.txt"), path),
    ),
    "lang directory": ("lang/arpa", lambda path, source: format_lm(source, source / "arpa", path.parent)),
    "figure": ("x.png", lambda path, _: figure(path)),
    "pieces": ("bpe.model", lambda path, _: train_pieces(Counter({f"ABC{i}": 3 for i in range(300)}), 120, path)),
}


def said(work: Callable[[], object]) -> str:
    """The error that users would see: HdnnError, or one of the operating system that has a name."""
    with pytest.raises((HdnnError, OSError)) as caught:
        work()
    error = caught.value
    return str(error.filename) if isinstance(error, OSError) else str(error)


@pytest.mark.parametrize("what", WRITERS)
def test_full_disk(what: str, sources: Path, tmp_path: Path) -> None:
    name, write = WRITERS[what]
    with full_disk():
        message = said(lambda: write(tmp_path / name, sources))
    assert str(tmp_path / name) in message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    write(tmp_path / name, sources)
    assert (tmp_path / name).stat().st_size > LIMIT


def test_full_disk_while_events_are_written(tmp_path: Path) -> None:
    with full_disk():
        message = said(lambda: events(tmp_path))
    assert f"{tmp_path}/events.out.tfevents" in message
    assert "\n" not in message


@pytest.mark.parametrize("what", [w for w in WRITERS if w != "lang directory"])
def test_directory_that_is_a_file(what: str, sources: Path, tmp_path: Path) -> None:
    """As good as one without permission, which root does not mind."""
    name, write = WRITERS[what]
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in said(lambda: write(tmp_path / "file" / name, sources))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/dev/full", "/dev/full"),
        ("| cat > /dev/full", "the command failed with status 1"),
        ("| gzip -c > no/such/file", "the command failed with status 1"),
        ("| head -c 5 > /dev/null", "the command ended before it had read everything"),
        ("| exit 3", "the command failed with status 3"),
        ("| kill -9 $$", "the command failed with status"),
    ],
)
@pytest.mark.parametrize("form", ["ark", "ark,t"])
def test_ends_of_pipes(form: str, target: str, message: str) -> None:
    assert message in said(lambda: matrices(f"{form}:{target}"))


def program(text: str, unbuffered: bool, stdout: int) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    return subprocess.run(
        [sys.executable, "-c", text], cwd=REPOSITORY, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True,
        check=False,
    )  # fmt: skip


TABLE = (
    "from hdnn_nnet.cli import leave; from tests.test_full_disk import matrices; leave(lambda: matrices('ark:-'), 'p')"
)
FRONT = "from hdnn_nnet.cli import main; main(['--help'])"


@pytest.mark.parametrize(("text", "prog"), [(TABLE, "p"), (FRONT, "hdnn")])
@pytest.mark.parametrize("unbuffered", [True, False])
def test_standard_output(text: str, prog: str, unbuffered: bool) -> None:
    with open("/dev/full", "w") as full:
        done = program(text, unbuffered, full.fileno())
    message = f"{prog}: error: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, message)
    reader, writer = os.pipe()
    os.close(reader)
    done = program(text, unbuffered, writer)
    os.close(writer)
    assert (done.returncode, done.stderr.count("\n")) == (141, 1)
