"""Lattice tools beside Kaldi's programs of the same purpose."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.lattice.nbest import n_best
from hdnn_nnet.lattice.ops import depth, prune
from hdnn_nnet.lattice.oracle import oracle
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import CompactLattice

pytestmark = pytest.mark.kaldi


@pytest.fixture
def lattices(kaldi_fixture: Path) -> dict[str, CompactLattice]:
    found = dict(read_lattices(kaldi_fixture / "exp/decode/lat.1.gz"))
    return {key: lattice for key, lattice in found.items() if isinstance(lattice, CompactLattice)}


class Latbin:
    """Runs programs of latbin on the fixture's lattices."""

    def __init__(self, root: Path, fixture: Path, folder: Path) -> None:
        self.bin, self.fixture, self.folder = root / "src/latbin", fixture, folder
        self.lattices = f"ark:gunzip -c {fixture}/exp/decode/lat.1.gz|"

    def __call__(self, program: str, *arguments: str) -> str:
        """Run it; what it writes to stdout."""
        if not (self.bin / program).exists():
            pytest.skip(f"{program} is not built")
        return subprocess.run([self.bin / program, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.fixture
def latbin(kaldi_root: Path, kaldi_fixture: Path, tmp_path: Path) -> Latbin:
    return Latbin(kaldi_root, kaldi_fixture, tmp_path)


@pytest.mark.parametrize("beam", [0.5, 2.0, 4.0])
def test_lattice_prune(latbin: Latbin, lattices: dict[str, CompactLattice], beam: float) -> None:
    output = latbin.folder / "pruned.ark"
    latbin("lattice-prune", "--acoustic-scale=0.1", f"--beam={beam}", latbin.lattices, f"ark:{output}")
    theirs = dict(read_lattices(output))
    assert set(theirs) == set(lattices)
    for key, lattice in lattices.items():
        ours = prune(lattice, beam, acoustic_scale=0.1)
        other = theirs[key]
        assert isinstance(other, CompactLattice)
        assert (ours.num_states, ours.num_arcs) == (other.num_states, other.num_arcs)
        for name in ("graph", "acoustic"):
            np.testing.assert_allclose(np.sort(ours.arcs[name]), np.sort(other.arcs[name]), rtol=1e-5, atol=1e-4)
        assert sorted(ours.strings.tolist()) == sorted(other.strings.tolist())


def test_lattice_depth(latbin: Latbin, lattices: dict[str, CompactLattice]) -> None:
    table = dict(line.split() for line in latbin("lattice-depth", latbin.lattices, "ark,t:-").splitlines())
    rows = (latbin.fixture / "exp/decode/best_path.ali").read_text().splitlines()
    frames = {row.split()[0]: len(row.split()) - 1 for row in rows}
    for key, lattice in lattices.items():
        assert depth(lattice, frames[key]) == pytest.approx(float(table[key]), rel=1e-5)


def test_lattice_oracle(latbin: Latbin, lattices: dict[str, CompactLattice]) -> None:
    symbols = SymbolTable.read(latbin.fixture / "lang/words.txt")
    references = {}
    for line in (latbin.fixture / "data/test/text").read_text().splitlines():
        key, *words = line.split()
        references[key] = [symbols[word if word in symbols else "<UNK>"] for word in words]
    text = latbin.folder / "ref.txt"
    text.write_text("".join(f"{key} {' '.join(map(str, ids))}\n" for key, ids in references.items()))
    output = latbin.folder / "errors"
    latbin("lattice-oracle", latbin.lattices, f"ark:{text}", "ark:/dev/null", f"ark,t:{output}")
    theirs = dict(line.split() for line in output.read_text().splitlines())
    for key, lattice in lattices.items():
        assert oracle(lattice, references[key]).errors == int(theirs[key])


def test_lattice_to_nbest(latbin: Latbin, lattices: dict[str, CompactLattice]) -> None:
    output, words, graph, acoustic = (latbin.folder / name for name in ("nbest", "words", "lm", "ac"))
    latbin("lattice-to-nbest", "--acoustic-scale=0.1", "--n=10", latbin.lattices, f"ark:{output}")
    latbin("nbest-to-linear", f"ark:{output}", "ark:/dev/null", f"ark,t:{words}", f"ark,t:{graph}", f"ark,t:{acoustic}")
    tables = [
        dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if " " in line.strip())
        for path in (graph, acoustic)
    ]
    spelled = {line.split()[0]: [int(word) for word in line.split()[1:]] for line in words.read_text().splitlines()}
    for key, lattice in lattices.items():
        for number, path in enumerate(n_best(lattice, 10, acoustic_scale=0.1), 1):
            name = f"{key}-{number}"
            assert path.words.tolist() == spelled[name]
            cost = float(tables[0][name]) + 0.1 * float(tables[1][name])
            assert path.graph + 0.1 * path.acoustic == pytest.approx(cost, rel=1e-5)
