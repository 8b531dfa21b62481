"""Lattice commands beside Kaldi's programs of the same purpose, on the same files."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import CompactLattice

pytestmark = pytest.mark.kaldi


class Latbin:
    """Runs programs of latbin; `lattices` is the fixture's archive."""

    def __init__(self, root: Path, fixture: Path) -> None:
        self.bin, self.fixture = root / "src/latbin", fixture
        self.archive = str(fixture / "exp/decode/lat.1.gz")
        self.lattices = f"ark:gunzip -c {self.archive}|"

    def __call__(self, program: str, *arguments: str) -> tuple[str, str]:
        """Run it; what it writes to stdout and stderr."""
        if not (self.bin / program).exists():
            pytest.skip(f"{program} is not built")
        done = subprocess.run([self.bin / program, *arguments], capture_output=True, text=True, check=True)
        return done.stdout, done.stderr


@pytest.fixture
def latbin(kaldi_root: Path, kaldi_fixture: Path) -> Latbin:
    return Latbin(kaldi_root, kaldi_fixture)


@pytest.mark.parametrize("beam", [0.5, 2.0, 4.0])
def test_prune(latbin: Latbin, tmp_path: Path, beam: float) -> None:
    options = ["--acoustic-scale=0.1", f"--beam={beam}"]
    latbin("lattice-prune", *options, latbin.lattices, f"ark:{tmp_path}/theirs.ark")
    call("lattice prune", [*options, latbin.archive, f"ark:{tmp_path}/ours.ark"])
    theirs, ours = (dict(read_lattices(tmp_path / f"{name}.ark")) for name in ("theirs", "ours"))
    assert [*theirs] == [*ours]
    for other, lattice in zip(theirs.values(), ours.values(), strict=True):
        assert isinstance(lattice, CompactLattice)
        assert isinstance(other, CompactLattice)
        assert (lattice.num_states, lattice.num_arcs) == (other.num_states, other.num_arcs)
        for name in ("graph", "acoustic"):
            np.testing.assert_allclose(np.sort(lattice.arcs[name]), np.sort(other.arcs[name]), rtol=1e-5, atol=1e-4)
        assert sorted(lattice.strings.tolist()) == sorted(other.strings.tolist())


def test_depth(latbin: Latbin, capsys: pytest.CaptureFixture[str]) -> None:
    depths, log = latbin("lattice-depth", latbin.lattices, "ark,t:-")
    call("lattice info", ["--per-utt", latbin.archive])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    theirs = {line.split()[0]: float(line.split()[1]) for line in depths.splitlines()}
    for row in rows[: len(theirs)]:
        assert float(row[5]) == pytest.approx(theirs.pop(row[0]), rel=1e-5)
    assert not theirs
    assert " ".join(rows[-1]) in log


@pytest.mark.parametrize("ignored", ["", "<UNK>,THE"])
def test_oracle(latbin: Latbin, tmp_path: Path, capsys: pytest.CaptureFixture[str], ignored: str) -> None:
    words, text = latbin.fixture / "lang/words.txt", latbin.fixture / "data/test/text"
    symbols = SymbolTable.read(words)
    ids = [str(symbols.ids[word]) for word in ignored.split(",") if word in symbols]
    with open(tmp_path / "ref.txt", "w") as reference:
        for line in text.read_text().splitlines():
            key, *spelled = line.split()
            reference.write(f"{key} {' '.join(str(symbols.ids.get(word, symbols['<UNK>'])) for word in spelled)}\n")
    _, log = latbin(
        "lattice-oracle", f"--wildcard-symbols={':'.join(ids)}", latbin.lattices, f"ark:{tmp_path}/ref.txt",
        "ark:/dev/null", f"ark,t:{tmp_path}/errors",
    )  # fmt: skip
    call("lattice oracle", ["--per-utt", "--oov=<UNK>", "--ignore", ignored, latbin.archive, str(words), str(text)])
    printed = capsys.readouterr().out.splitlines()
    theirs = dict(line.split() for line in (tmp_path / "errors").read_text().splitlines())
    assert {line.split()[0]: line.split()[1] for line in printed[: len(theirs)]} == theirs
    # Which alignment with the fewest errors is taken is open, so only the sums are the same.
    pattern = r"Overall %WER ([\d.]+) \[ (\d+) / (\d+), "
    ours, kaldi = re.search(pattern, printed[-3]), re.search(pattern, log)
    assert ours
    assert kaldi
    assert ours.groups()[1:] == kaldi.groups()[1:]
    assert float(ours[1]) == pytest.approx(float(kaldi[1]), abs=0.005)


def linear(latbin: Latbin, folder: Path, archive: str) -> dict[str, tuple[list[int], list[int], float, float]]:
    """Alignment, words, graph cost and acoustic cost of linear lattices, from Kaldi's nbest-to-linear."""
    names = ("ali", "words", "lm", "ac")
    latbin("nbest-to-linear", archive, *(f"ark,t:{folder}/{name}" for name in names))
    tables = [{r.split()[0]: r.split()[1:] for r in (folder / name).read_text().splitlines()} for name in names]
    return {
        key: ([*map(int, row)], [*map(int, tables[1][key])], float(tables[2][key][0]), float(tables[3][key][0]))
        for key, row in tables[0].items()
    }


def test_nbest(latbin: Latbin, tmp_path: Path) -> None:
    options = ["--acoustic-scale=0.1", "--n=10"]
    latbin("lattice-to-nbest", *options, latbin.lattices, f"ark:{tmp_path}/theirs.ark")
    call("lattice nbest", [*options, latbin.archive, f"ark:{tmp_path}/ours.ark"])
    theirs, ours = (linear(latbin, tmp_path, f"ark:{tmp_path}/{name}.ark") for name in ("theirs", "ours"))
    assert [*ours] == [*theirs]
    for (_, words, *costs), (_, kaldi_words, *kaldi_costs) in zip(ours.values(), theirs.values(), strict=True):
        assert words == kaldi_words
        assert costs[0] + 0.1 * costs[1] == pytest.approx(kaldi_costs[0] + 0.1 * kaldi_costs[1], rel=1e-5)
    assert all(ours[key][0] == theirs[key][0] for key in ours if key.endswith("-1"))


@pytest.mark.parametrize("form", ["lat.1.gz", "lat.noncompact.gz"])
@pytest.mark.parametrize("compact", ["true", "false"])
def test_copy(latbin: Latbin, tmp_path: Path, form: str, compact: str) -> None:
    archive, option = latbin.fixture / "exp/decode" / form, f"--write-compact={compact}"
    latbin("lattice-copy", option, f"ark:gunzip -c {archive}|", f"ark:{tmp_path}/theirs.ark")
    call("lattice copy", [option, str(archive), f"ark:{tmp_path}/ours.ark"])
    _, log = latbin("lattice-equivalent", f"ark:{tmp_path}/ours.ark", f"ark:{tmp_path}/theirs.ark")
    assert "0 were not; for 0," in log
    theirs, ours = (dict(read_lattices(tmp_path / f"{name}.ark")) for name in ("theirs", "ours"))
    assert [*theirs] == [*ours]
    assert {type(lattice) for lattice in theirs.values()} == {type(lattice) for lattice in ours.values()}
    for key, lattice in ours.items():
        assert lattice.num_arcs <= 1.1 * theirs[key].num_arcs + 10


def test_kaldi_reads_what_k2_gives_back(latbin: Latbin, tmp_path: Path) -> None:
    call("lattice to-k2", [latbin.archive, f"{tmp_path}/k2.safetensors"])
    call("lattice from-k2", [f"{tmp_path}/k2.safetensors", f"ark:{tmp_path}/back.ark"])
    _, log = latbin("lattice-equivalent", f"ark:{tmp_path}/back.ark", latbin.lattices)
    assert "0 were not; for 0," in log
