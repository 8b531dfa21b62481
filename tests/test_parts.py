"""Marks of the parts that ended, in a step that is killed at any moment."""

import subprocess
from pathlib import Path

import pytest

from tests.support.fixture_recipe import REPOSITORY


def run(folder: Path, script: str) -> str:
    """The script, with `rm` removing its words one by one and telling when a mark that counts stands without its file."""
    watched = f"""
      nj=1
      put() {{ printf '%s' "$2" > "$1"; }}
      rm() {{
        shift
        for path; do
          command rm -rf "$path"
          if [ -f out/.parts ] && [ -f out/.done.1 ] && [ ! -f out/ali.1.gz ]; then echo "without its file"; fi
        done
      }}
      . {REPOSITORY}/steps_py/parts.sh
      {script}
    """
    done = subprocess.run(["bash", "-ec", watched], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


BEGIN = 'begin_parts out "{}" feats.scp text -- out/ali.*.gz out/unaligned.*'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    for name in ("feats.scp", "text"):
        (tmp_path / name).write_text("a\n")
    run(tmp_path, BEGIN.format("beam 10"))
    for name in (".done.1", "ali.1.gz", "unaligned.1"):
        (tmp_path / "out" / name).touch()
    return tmp_path


def test_the_same_goes_on(folder: Path) -> None:
    assert "1 of 1 parts are there" in run(folder, BEGIN.format("beam 10"))
    assert (folder / "out/ali.1.gz").exists()


@pytest.mark.parametrize(
    ("script", "left"),
    [
        pytest.param(BEGIN.format("beam 11"), [".parts"], id="other options"),
        pytest.param(f"echo b > text; {BEGIN.format('beam 10')}", [".parts"], id="other inputs"),
        pytest.param("end_parts out out/ali.1.gz out/unaligned.1", [], id="the end"),
    ],
)
def test_no_mark_without_its_file(script: str, left: list[str], folder: Path) -> None:
    assert run(folder, script) == ""
    assert [path.name for path in (folder / "out").iterdir()] == left
