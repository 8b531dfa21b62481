"""Paths that many tests need; each fixture skips with its reason where the thing is missing."""

import os
import shutil
from pathlib import Path

import pytest

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
    shutil.unpack_archive(REPOSITORY / "tests/data/kaldi_fixture.tar.xz", folder, filter="data")
    return folder / "kaldi_fixture"


@pytest.fixture(scope="session")
def gmm_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees, questions, statistics and models of real Kaldi, made from `kaldi_fixture` (tests/data/README.md)."""
    folder = tmp_path_factory.mktemp("gmm")
    shutil.unpack_archive(REPOSITORY / "tests/data/gmm_fixture.tar.xz", folder, filter="data")
    return folder / "gmm_fixture"


@pytest.fixture(scope="session")
def fmllr_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LDA, MLLT and fMLLR by real Kaldi from the data of `kaldi_fixture` (tests/data/README.md)."""
    folder = tmp_path_factory.mktemp("fmllr")
    shutil.unpack_archive(REPOSITORY / "tests/data/fmllr_fixture.tar.xz", folder, filter="data")
    return folder / "fmllr_fixture"


@pytest.fixture(scope="session")
def kaldi_root() -> Path:
    """A built Kaldi: KALDI_ROOT, else /opt/kaldi."""
    path = Path(os.environ.get("KALDI_ROOT", "/opt/kaldi"))
    if not (path / "src" / "bin" / "copy-int-vector").exists():
        pytest.skip("needs real Kaldi: set KALDI_ROOT")
    return path
