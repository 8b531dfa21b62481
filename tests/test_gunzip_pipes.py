"""`gunzip -c file.gz |` is unpacked without a process and reads as the command would."""

import gzip
import subprocess
from pathlib import Path

import pytest

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import open_input, read_bytes, without_gunzip

CONTENT = bytes(range(256)) * 50


@pytest.mark.parametrize("command", ["gunzip -c", "gzip -cd", "gzip -dc", "zcat", " gunzip  -c "])
def test_reads_what_the_command_writes(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some+file@1.2=x,y.gz"
    path.write_bytes(gzip.compress(CONTENT[:100]) + gzip.compress(CONTENT[100:]))  # two members, as `cat` leaves them
    expected = subprocess.run(f"{command} {path}", shell=True, check=True, stdout=subprocess.PIPE).stdout
    assert expected == CONTENT
    monkeypatch.setattr(subprocess, "Popen", None)  # no process may start
    name = f"{command} {path} |"
    assert read_bytes(name) == expected
    with open_input(name) as stream:
        assert stream.read() == expected


@pytest.mark.parametrize(
    "name",
    [
        "gunzip -c a.gz b.gz |", "gunzip -c a.gz | head -c 3 |", "gunzip -c $dir/a.gz |", "gunzip -c lat.*.gz |",
        "gzip -d a.gz |", "gunzip -c 'a.gz' |", "gunzip -c a.gz; rm b |", "gunzip -c a |",
        "gunzip -c a.gz", "a.gz", "-", "cat a.gz |",
    ],
)  # fmt: skip
def test_other_names_stay(name: str) -> None:
    assert without_gunzip(f" {name} ") == name


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HdnnError, match=r"cannot read .*gone\.gz: No such file"):
        read_bytes(f"gunzip -c {tmp_path}/gone.gz |")
