"""The reader of text from outside, beside a reference in bytes; and that no other module reads text on its own."""

import ast
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.int_vectors import int_vector_bytes
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.score.text import read_text
from hdnn_nnet.text import first_word, split_lines, to_float, to_int, words

REPOSITORY = Path(__file__).resolve().parent.parent
ODD = "\u2028\u2029\x85\x1c\x1d\x1e\u00a0\u202f\u3000\ufeff\x0b\x0c\r\t ab\n\u00e9"


def reference(data: bytes) -> list[list[bytes]]:
    """Lines and words by bytes alone; bytes.split knows the six blanks of C's isspace and no others."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [line.split() for line in (lines if lines[-1] or len(lines) == 1 else lines[:-1])]


@settings(max_examples=300, deadline=None)
@given(st.text(ODD, max_size=40))
def test_lines_and_words(text: str) -> None:
    data = text.encode()
    found = [[word.encode() for word in words(line)] for line in split_lines(data, "x")]
    expected = reference(data) if data else []
    assert [row for row in found if row] == [row for row in expected if row]
    # Every line end counts; the last line need not have one.
    assert len(found) == data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))
    for line in split_lines(data, "x"):
        first, rest = first_word(line)
        assert [first, *words(rest)] == (words(line) or [""])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("form", ["file", "gz", "pipe"])
def test_every_way_in(tmp_path: Path, end: str, bom: str, form: str) -> None:
    data = (bom + "u1 fo\u00a0ur fi\u2028ve" + end + "u2 si\x85x\tseven\vone" + end).encode()
    path = tmp_path / ("text.gz" if form == "gz" else "text")
    path.write_bytes(gzip.compress(data) if form == "gz" else data)
    found = read_text(f"cat {path} |" if form == "pipe" else path)
    assert found == {"u1": ["fo\u00a0ur", "fi\u2028ve"], "u2": ["si\x85x", "seven", "one"]}


def test_bad_encodings_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "text"
    for data, message in (
        (b"u1 1\nu2 caf\xe9\n", r"text, line 2: not UTF-8 \(byte 0xe9\)"),
        ("u1 1\n".encode("utf-16"), r"text, line 1: not UTF-8 \(UTF-16\)"),
    ):
        path.write_bytes(data)
        for read in (read_scp, SymbolTable.read, lambda p: list(read_lines(p))):
            with pytest.raises(HdnnError, match=message):
                read(path)


@pytest.mark.parametrize(
    "word", ["1_000", "\u0661", "", "+", "1.0", "0x1", "2147483648", "-2147483649", "4294967297", "9" * 5000]
)
def test_no_integer(word: str) -> None:
    with pytest.raises(ValueError, match=r"integer|between"):
        to_int(word)


@pytest.mark.parametrize("word", ["1_0", "\u0661", "", ".", "1e", "nan", "-inf", "infinity", "1e999", "0x1p3"])
def test_no_finite_number(word: str) -> None:
    with pytest.raises(ValueError, match=r"number|finite"):
        to_float(word)


@given(st.integers(-(2**31), 2**31 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers(integer: int, real: float) -> None:
    assert to_int(str(integer)) == to_int(f"{integer:+d}") == integer
    assert to_float(repr(real)) == real


def test_models_in_text_do_not_wrap(tmp_path: Path) -> None:
    """4294967297 is no 1."""
    path = tmp_path / "final.mdl"
    path.write_text("<TransitionModel>\n<Topology>\n<TopologyEntry>\n<ForPhones>\n4294967297\n</ForPhones>\n")
    with pytest.raises(HdnnError, match=r"final\.mdl: .*4294967297"):
        TransitionModel.read(path)
    assert int_vector_bytes([1])[:3] == b"\0B\4"


#: Modules that split or open what is not text from outside, and why.
ALLOWED = {
    "hdnn_nnet/text.py": "the reader itself",
    "hdnn_nnet/kaldi/rxfile.py": "the opener of bytes",
    "hdnn_nnet/kaldi/basic_io.py": "bytes of Kaldi's objects in text form",
    "hdnn_nnet/kaldi/int_vectors.py": "bytes of archives",
    "hdnn_nnet/errors.py": "one line of any message",
    "hdnn_nnet/cli.py": "names of fields",
    "hdnn_nnet/commands/score.py": "a file just written",
    "hdnn_nnet/runtime/formats.py": "names of files",
    "hdnn_nnet/device/doctor.py": "/proc, output of commands",
    "hdnn_nnet/device/gpu_code.py": "output of nvidia-smi",
    "hdnn_nnet/device/kaldi_programs.py": "names of programs",
    "hdnn_nnet/device/packages.py": "a file of a package",
    "hdnn_nnet/train/agent_end.py": "/proc",
    "hdnn_nnet/processes.py": "/proc",
    "hdnn_nnet/device/processor.py": "/proc/cpuinfo",
    "hdnn_nnet/device/gpus.py": "output of nvidia-smi",
    "hdnn_nnet/nn/config.py": "JSON",
    "hdnn_nnet/runtime/vosk_recogniser.py": "JSON",
    "hdnn_nnet/runtime/trial.py": "our own report",
    "hdnn_nnet/corpus/augment.py": "a file of our own",
    "hdnn_nnet/feats/encoder_job.py": "a file of our own",
    "hdnn_nnet/export/onnx_session.py": "the message of another library",
    "hdnn_nnet/export/card.py": "our own description",
    "hdnn_nnet/lang/g2p.py": "names of letters",
    "hdnn_nnet/score/report.py": "our own logs",
    "local/prepare_own.py": "a file of our own",
    "local/prepare_ami.py": "files of the repository, and lhotse's texts",
    "local/mini/make_corpus.py": "JSON of our own",
    "local/mini/grammar.py": "a file of the repository",
    "local/preflight.py": "output of commands",
}  # fmt: skip


def test_no_other_module_reads_text_on_its_own() -> None:
    wrong = {}
    for path in sorted([*REPOSITORY.glob("hdnn_nnet/**/*.py"), *REPOSITORY.glob("local/**/*.py")]):
        name = str(path.relative_to(REPOSITORY))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called = node.func.attr
            if called in ("splitlines", "read_text") or (called == "split" and not node.args and not node.keywords):
                wrong[name] = f"{called} in line {node.lineno}"
    assert wrong.keys() <= ALLOWED.keys(), wrong
    assert not ALLOWED.keys() - wrong.keys() - {"hdnn_nnet/kaldi/rxfile.py"}  # no exception without need
