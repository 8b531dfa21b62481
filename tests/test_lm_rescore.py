"""Another language model on lattices: beside Kaldi's lattice-lmrescore, and beside all paths by brute force."""

import gzip
import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import ARC, Fst, read_fst, write_fst
from hdnn_nnet.lattice.grammar import Grammar
from hdnn_nnet.lattice.nbest import n_best
from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
from hdnn_nnet.ragged import cumulative


def make_grammar(arcs: list[tuple[int, int, float, int]], finals: dict[int, float], states: int) -> Fst:
    """G from (source, word, cost, target); state 0 is the start."""
    rows = sorted(arcs)
    table = np.zeros(len(rows), ARC)
    for place, (_, word, cost, target) in enumerate(rows):
        table[place] = (word, word, cost, target)
    counts = np.bincount([row[0] for row in rows], minlength=states)
    final = np.array([finals.get(state, np.inf) for state in range(states)], np.float32)
    return Fst(0, final, cumulative(counts), table)


def cheapest(fst: Fst, words: tuple[int, ...]) -> float:
    """Lowest cost of a word sequence over all paths; epsilons lead to higher states only."""
    best = np.inf
    stack = [(fst.start, 0, 0.0)]
    while stack:
        state, done, cost = stack.pop()
        if done == len(words):
            best = min(best, cost + float(fst.final[state]))
        for arc in fst.arcs[fst.offsets[state] : fst.offsets[state + 1]].tolist():
            if not arc[1]:
                stack.append((arc[3], done, cost + arc[2]))
            elif done < len(words) and arc[1] == words[done]:
                stack.append((arc[3], done + 1, cost + arc[2]))
    return best


costs = st.integers(-8, 30).map(lambda n: n / 8)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), costs, st.integers(0, 3)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), costs), max_size=4),
    st.dictionaries(st.integers(0, 3), costs, min_size=1),
)
def test_costs_are_those_of_the_best_path(arcs, backoffs, finals) -> None:
    epsilons = [(source, 0, cost, min(3, source + jump)) for source, jump, cost in backoffs]
    fst = make_grammar([*arcs, *epsilons], finals, 4)
    grammar = Grammar(fst)
    for words in itertools.chain.from_iterable(itertools.product((1, 2, 3), repeat=n) for n in range(4)):
        total, state, alive = 0.0, 0, True
        for word in words:
            found = grammar.step(state, word)
            alive = alive and found is not None
            if found is None:
                break
            total, state = total + found[0], found[1]
        got = total + grammar.final(state) if alive else np.inf
        assert got == pytest.approx(cheapest(fst, words), abs=1e-4)


def projected(source: Path, target: Path) -> None:
    """fstproject --project_output=true."""
    fst = read_fst(source)
    fst.arcs["ilabel"] = fst.arcs["olabel"]
    write_fst(target, fst)


@pytest.fixture
def models(kaldi_fixture: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The lang of the fixture's lattices, and one with a trigram of other counts."""
    pytest.importorskip("kaldilm")
    lang = kaldi_fixture / "lang"
    words = [line.split()[0] for line in (lang / "words.txt").read_text().splitlines()]
    spoken = [word for word in words if word not in ("<eps>", "<s>", "</s>", "#0")]
    random = np.random.default_rng(5)
    lines = [" ".join(random.choice(spoken, random.integers(1, 6), p=None)) for _ in range(200)]
    (tmp_path / "lm.txt").write_text("\n".join(lines) + "\n")
    vocabulary = ["--vocab", str(lang / "words.txt"), "--oov", spoken[0]]
    texts = [str(tmp_path / "lm.txt"), str(tmp_path / "lm"), str(tmp_path / "lm.txt")]
    assert call("lang train-lm", [*vocabulary, *texts]) == 0
    assert call("lang format-lm", [str(lang), str(tmp_path / "lm/lm.arpa.gz"), str(tmp_path / "new")]) == 0
    return lang, tmp_path / "new"


def sequences(path: Path) -> dict[str, dict[tuple[int, ...], tuple[float, float]]]:
    """Key -> word sequence -> graph and acoustic cost, of all sequences of small lattices and the first of large ones."""
    return {
        key: {tuple(p.words.tolist()): (p.graph, p.acoustic) for p in n_best(lattice, 40, 0.1)}
        for key, lattice in read_lattices(path)
    }


@pytest.mark.kaldi
def test_kaldi_gives_the_same_lattices(
    kaldi_fixture: Path, kaldi_root: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    program = kaldi_root / "src/latbin/lattice-lmrescore"
    if not program.exists():
        pytest.skip("lattice-lmrescore is not built")
    old, new = models
    source = kaldi_fixture / "exp/decode/lat.1.gz"
    for lang, name in ((old, "old"), (new, "new")):
        projected(lang / "G.fst", tmp_path / f"{name}.fst")
    with gzip.open(source, "rb") as packed, open(tmp_path / "lat.ark", "wb") as plain:
        shutil.copyfileobj(packed, plain)
    command = (
        f"{program} --lm-scale=-1.0 ark:lat.ark old.fst ark:- | {program} --lm-scale=1.0 ark:- new.fst ark:theirs.ark"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    assert call("lattice rescore", [str(old), str(new), str(source), f"ark:{tmp_path}/ours.ark"]) == 0
    ours, theirs = sequences(tmp_path / "ours.ark"), sequences(tmp_path / "theirs.ark")
    assert ours.keys() == theirs.keys()
    assert sum(map(len, ours.values())) > 40
    for key, expected in theirs.items():
        assert ours[key].keys() == expected.keys()
        for words, value in expected.items():
            assert ours[key][words] == pytest.approx(value, abs=2e-3)


def test_out_and_in_again_changes_nothing(kaldi_fixture: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = models
    source = kaldi_fixture / "exp/decode/lat.1.gz"
    assert call("lattice rescore", [str(old), str(new), str(source), f"ark:{tmp_path}/new.ark"]) == 0
    assert (
        call("lattice rescore", [str(new / "G.fst"), str(old), f"{tmp_path}/new.ark", f"ark:{tmp_path}/back.ark"]) == 0
    )
    before, changed, after = (sequences(path) for path in (source, tmp_path / "new.ark", tmp_path / "back.ark"))
    differ = 0
    for key, expected in before.items():
        for words, value in expected.items():
            assert after[key][words] == pytest.approx(value, abs=1e-3)
            differ += words not in changed[key] or abs(changed[key][words][0] - value[0]) > 0.1
    assert differ > 10


def test_models_that_do_not_fit(kaldi_fixture: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = models
    source = str(kaldi_fixture / "exp/decode/lat.1.gz")
    path = new / "words.txt"
    path.chmod(0o644)
    path.write_text(path.read_text() + "EXTRA 999\n")
    with pytest.raises(HdnnError, match=r"words.txt differ in 1 entries, such as EXTRA; make both from one lang"):
        call("lattice rescore", [str(old), str(new), source, f"ark:{tmp_path}/x.ark"])
    write_fst(tmp_path / "none.fst", make_grammar([(0, 4000, 1.0, 0)], {0: 0.0}, 1))
    with pytest.raises(HdnnError, match="no lattice with a path under both models"):
        call("lattice rescore", ["", str(tmp_path / "none.fst"), source, f"ark:{tmp_path}/x.ark"])
    with pytest.raises(HdnnError, match="give an old or a new language model"):
        call("lattice rescore", ["", "", source, f"ark:{tmp_path}/x.ark"])
    with LatticeWriter(f"ark:{tmp_path}/y.ark"):
        pass
