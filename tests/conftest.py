"""Paths that many tests need; each fixture skips with its reason where the thing is missing."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.archives import unpack

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Corpora and Kaldi-written files kept beside the checkout."""
    path = REPOSITORY.parent / "shared"
    if not path.is_dir():
        pytest.skip("../shared is not here")
    return path


@pytest.fixture(scope="session")
def kaldi_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files written by real Kaldi, with its numbers (tests/data/README.md)."""
    folder = tmp_path_factory.mktemp("kaldi")
    unpack(REPOSITORY / "tests/data/kaldi_fixture.tar.xz", folder)
    return folder / "kaldi_fixture"


@pytest.fixture(scope="session")
def gmm_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees, questions, statistics and models of real Kaldi, made from `kaldi_fixture` (tests/data/README.md)."""
    folder = tmp_path_factory.mktemp("gmm")
    unpack(REPOSITORY / "tests/data/gmm_fixture.tar.xz", folder)
    return folder / "gmm_fixture"


@pytest.fixture(scope="session")
def fmllr_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LDA, MLLT and fMLLR by real Kaldi from the data of `kaldi_fixture` (tests/data/README.md)."""
    folder = tmp_path_factory.mktemp("fmllr")
    unpack(REPOSITORY / "tests/data/fmllr_fixture.tar.xz", folder)
    return folder / "fmllr_fixture"


@pytest.fixture(scope="session")
def kaldi_root() -> Path:
    """A built Kaldi: KALDI_ROOT, else /opt/kaldi."""
    path = Path(os.environ.get("KALDI_ROOT", "/opt/kaldi"))
    if not (path / "src" / "bin" / "copy-int-vector").exists():
        pytest.skip("needs real Kaldi: set KALDI_ROOT")
    return path


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """A test marked kaldi that starts a program which a partly built Kaldi lacks is skipped."""
    outcome = yield
    error = outcome.excinfo[1] if outcome.excinfo else None  # type: ignore[attr-defined]  # of pluggy
    if pyfuncitem.get_closest_marker("kaldi") is None or not isinstance(error, Exception):
        return
    root = os.environ.get("KALDI_ROOT") or "/opt/kaldi"
    said = getattr(error, "stderr", None) or b""
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    missing = str(error.filename) if isinstance(error, FileNotFoundError) else ""
    if not missing and (match := re.search(rf"({re.escape(root)}/\S+): (No such file|not found)", text)):
        missing = match[1]
    if missing.startswith(root):
        outcome.force_exception(pytest.skip.Exception(f"needs Kaldi's {missing}"))  # type: ignore[attr-defined]  # of pluggy


@pytest.fixture(scope="session")
def kaldi_program(kaldi_root: Path) -> Callable[[str], Path]:
    """A program of real Kaldi by its path in src; the test is skipped where it was not built."""

    def find(name: str) -> Path:
        path = kaldi_root / "src" / name
        if not os.access(path, os.X_OK):
            pytest.skip(f"needs Kaldi's {name}")
        return path

    return find
