"""Files of tensors: nothing damaged is read as if it were whole."""

import contextlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.tensor_file import load_annotated, load_tensors, save_tensors

TENSORS = {
    "weights": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)),
    "half": torch.arange(5).bfloat16(),
    "empty": torch.zeros(0, 2),
    "scalar": torch.tensor(3.0, dtype=torch.float64),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tensors") / "x.safetensors"
    save_tensors(TENSORS, path, {"of": "speaker ä", "list": [1, 2.5, None]})
    return path


def test_what_is_written_is_read_by_us_and_by_the_library(whole: Path) -> None:
    tensors, about = load_annotated(whole)
    assert about == {"of": "speaker ä", "list": [1, 2.5, None]}
    for found in (tensors, load_tensors(whole), load_file(whole)):
        assert found.keys() == TENSORS.keys()
        assert all(torch.equal(found[name], value) for name, value in TENSORS.items())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_anywhere_is_an_error(whole: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    damaged = whole.with_name("damaged.safetensors")
    damaged.write_bytes(content)
    with contextlib.suppress(HdnnError):
        tensors, about = load_annotated(damaged)
        # A blank of the header, or the name under which the checksum is: all that it covers is unharmed or unchecked.
        assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
        assert about in ({}, load_annotated(whole)[1])


@given(st.integers(0, 10_000))
def test_a_truncated_file_is_an_error(whole: Path, length: int) -> None:
    content = whole.read_bytes()
    short = whole.with_name("short.safetensors")
    short.write_bytes(content[: length % len(content)])
    with pytest.raises(HdnnError, match=r"short\.safetensors"):
        load_tensors(short)


def test_files_of_other_programs_have_no_checksum(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors", {"format": "pt"})
    assert torch.equal(load_tensors(tmp_path / "x.safetensors")["x"], torch.ones(2))
