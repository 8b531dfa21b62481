"""Decoding graphs: the costs of paths by definition, and against the graphs that Kaldi made of the same input."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kaldifst
import numpy as np
import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.graph.make import make_graph
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.fst import Fst, read_fst, write_fst
from hdnn_nnet.kaldi.symbols import SymbolTable, read_integers
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency, monophone_tree, monophone_tuples

REPOSITORY = Path(__file__).resolve().parent.parent


def random_path(fst: Fst, generator: np.random.Generator) -> list[int]:
    """Input labels of a random path, epsilons left out; it takes final states as soon as it can, after a while."""
    state, labels = fst.start, list[int]()
    while True:
        arcs = fst.arcs[fst.offsets[state] : fst.offsets[state + 1]]
        if np.isfinite(fst.final[state]) and (not len(arcs) or generator.random() < 0.2 + len(labels) / 300):
            return labels
        arc = arcs[generator.integers(len(arcs))]
        if arc["ilabel"]:
            labels.append(int(arc["ilabel"]))
        state = int(arc["nextstate"])


def best(graph, labels: list[int]) -> tuple[list[int], float] | None:
    """Words and cost of the cheapest path of a kaldifst graph with these input labels."""
    both = kaldifst.compose(kaldifst.make_linear_acceptor(labels), graph)
    if both.start < 0:
        return None
    found, _, words, weight = kaldifst.get_linear_symbol_sequence(kaldifst.shortest_path(both))
    assert found
    return words, weight.value


def path_cost(model: TransitionModel, labels: list[int], lg, transition_scale: float, self_loop_scale: float) -> float:
    """The definition: scaled transition costs of an alignment, and the cheapest cost its phones have in L and G."""
    loop = model.is_self_loop[labels]
    stay = model.log_probs[labels]
    leave = model.non_self_loop_log_probs[model.tid_to_state[labels]]
    scores = np.where(loop, self_loop_scale * stay, transition_scale * (stay - leave) + self_loop_scale * leave)
    phones, finished = list[int](), True
    for tid in labels:
        if not model.is_self_loop[tid]:
            if finished:
                phones.append(int(model.tid_to_phone[tid]))
            finished = bool(model.is_final[tid])
    language = best(lg, phones)
    assert language is not None
    return language[1] - float(scores.sum())


def lexicon_and_grammar(lang: Path, tmp_path: Path):
    """L composed with G by the lexicon without disambiguation symbols; G's back-off symbol becomes epsilon."""
    grammar = read_fst(lang / "G.fst")
    back_off = SymbolTable.read(lang / "words.txt")["#0"]
    grammar.arcs["ilabel"][grammar.arcs["ilabel"] == back_off] = 0
    write_fst(tmp_path / "G.fst", grammar)
    lexicon = kaldifst.StdVectorFst.read(str(lang / "L.fst"))
    kaldifst.arcsort(lexicon, sort_type="olabel")
    lg = kaldifst.StdVectorFst(kaldifst.compose(lexicon, kaldifst.StdVectorFst.read(str(tmp_path / "G.fst"))))
    kaldifst.arcsort(lg, sort_type="ilabel")
    return lg


def sorted_by_input(graph):
    copy = kaldifst.StdVectorFst(graph)
    kaldifst.arcsort(copy, sort_type="ilabel")
    return copy


def systems(kaldi_fixture: Path) -> dict[str, tuple[TransitionModel, ContextDependency]]:
    """Kaldi's triphones (N=3, P=1), and monophones (N=1, P=0) with uneven transition probabilities."""
    topology = HmmTopology.read(kaldi_fixture / "lang/topo")
    tree = monophone_tree([[phone] for phone in topology.phones], topology)
    mono = TransitionModel(topology, monophone_tuples(tree, topology))
    noise = np.random.default_rng(0).uniform(0.2, 1.0, mono.num_transition_ids)
    totals = np.bincount(mono.tid_to_state[1:], noise)[mono.tid_to_state[1:]]
    mono = TransitionModel(topology, mono.tuples, np.concatenate([[0], np.log(noise / totals)]))
    tri = kaldi_fixture / "exp/tri"
    return {
        "mono": (mono, tree),
        "tri": (TransitionModel.read(tri / "final.mdl"), ContextDependency.read(tri / "tree")),
    }


@pytest.mark.parametrize("name", ["mono", "tri"])
@pytest.mark.parametrize("scales", [(1.0, 0.1), (0.7, 0.4)])
def test_costs_by_definition(kaldi_fixture: Path, tmp_path: Path, name: str, scales: tuple[float, float]) -> None:
    model, tree = systems(kaldi_fixture)[name]
    lang = kaldi_fixture / "lang"
    graph = make_graph(lang, model, tree, *scales)
    first = model.num_transition_ids + 1
    assert graph.disambig_tids == list(range(first, first + len(graph.disambig_tids)))
    lg = lexicon_and_grammar(lang, tmp_path)
    graph.fst.write(str(tmp_path / "HCLG.fst"))
    arrays = read_fst(tmp_path / "HCLG.fst")
    assert arrays.arcs["ilabel"].max() <= model.num_transition_ids  # no disambiguation symbol is left
    ordered = sorted_by_input(graph.fst)
    generator = np.random.default_rng(4)
    for _ in range(60):
        labels = random_path(arrays, generator)
        found = best(ordered, labels)
        assert found is not None
        # Determinization quantizes weights in steps of 1/1024.
        assert found[1] == pytest.approx(path_cost(model, labels, lg, *scales), abs=0.02)


def _same_paths(ours, reference: Path, alignments: list[list[int]], tmp_path: Path, paths: int) -> None:
    arrays = read_fst(reference)
    write_fst(tmp_path / "reference.fst", arrays)
    theirs = sorted_by_input(kaldifst.StdVectorFst.read(str(tmp_path / "reference.fst")))
    kaldifst.StdVectorFst(ours).write(str(tmp_path / "ours.fst"))
    own_arrays = read_fst(tmp_path / "ours.fst")
    ours = sorted_by_input(ours)
    generator = np.random.default_rng(5)
    candidates = [random_path(fst, generator) for fst in (arrays, own_arrays) for _ in range(paths)]
    for labels in candidates + alignments:
        mine, kaldis = best(ours, labels), best(theirs, labels)
        assert mine is not None
        assert kaldis is not None
        assert mine[1] == pytest.approx(kaldis[1], abs=0.02)
        assert mine[0] == kaldis[0] or mine[1] == pytest.approx(kaldis[1], abs=1e-3)


def test_same_as_kaldis_graph(kaldi_fixture: Path, tmp_path: Path) -> None:
    """Random paths of either graph, and Kaldi's decoded paths, have the same words and cost in the other."""
    model, tree = systems(kaldi_fixture)["tri"]
    graph = make_graph(kaldi_fixture / "lang", model, tree)
    decoded = read_alignments(kaldi_fixture / "exp/decode/best_path.ali")
    _same_paths(
        graph.fst, kaldi_fixture / "graph/HCLG.fst", [path.tolist() for path in decoded.values()], tmp_path, paths=150
    )
    assert graph.disambig_tids == read_integers(kaldi_fixture / "graph/disambig_tid.int")


@pytest.mark.slow
def test_same_as_kaldis_large_graph(shared_dir: Path, tmp_path: Path) -> None:
    """A real system: 904 pdfs, trigram of real text, a quarter of a million states."""
    system = shared_dir / "corpora/so762"
    if not system.is_dir():
        pytest.skip("../shared/corpora/so762 is not here")
    source = system / "exp/tri3_ali"
    graph = make_graph(
        system / "lang", TransitionModel.read(source / "final.mdl"), ContextDependency.read(source / "tree")
    )
    _same_paths(graph.fst, system / "exp/tri3/graph/HCLG.fst", [], tmp_path, paths=40)


def test_program(kaldi_fixture: Path, tmp_path: Path) -> None:
    """The directory has what Kaldi's graph directory has, and HCLG.fst is a const FST of matching size."""
    target = tmp_path / "graph"
    assert call("mkgraph", [str(kaldi_fixture / "lang"), str(kaldi_fixture / "exp/tri"), str(target)]) == 0
    reference = kaldi_fixture / "graph"
    for path in reference.rglob("*"):
        own = target / path.relative_to(reference)
        if path.is_file() and path.name != "HCLG.fst":
            assert own.read_bytes() == path.read_bytes(), own
    assert b"const" in (target / "HCLG.fst").read_bytes()[:20]
    ours, kaldis = read_fst(target / "HCLG.fst"), read_fst(reference / "HCLG.fst")
    assert 0.8 < ours.num_arcs / kaldis.num_arcs < 1.1


def _lang(kaldi_fixture: Path, tmp_path: Path) -> Path:
    lang = tmp_path / "lang"
    shutil.copytree(kaldi_fixture / "lang", lang)
    for path in [lang, *lang.rglob("*")]:
        path.chmod(0o755)
    return lang


def test_bad_input(kaldi_fixture: Path, tmp_path: Path) -> None:
    lang = _lang(kaldi_fixture, tmp_path)
    all_systems = systems(kaldi_fixture)
    with pytest.raises(HdnnError, match="do not belong together"):
        make_graph(lang, all_systems["tri"][0], all_systems["mono"][1])
    # A grammar of a word that the lexicon cannot pronounce leaves no path.
    grammar = read_fst(lang / "G.fst")
    grammar.arcs["ilabel"][:] = grammar.arcs["olabel"][:] = SymbolTable.read(lang / "words.txt")["#0"]
    grammar.final[:] = np.inf
    write_fst(lang / "G.fst", grammar)
    with pytest.raises(HdnnError, match="empty"):
        make_graph(lang, *all_systems["tri"])
    (lang / "G.fst").write_bytes(b"no FST")
    with pytest.raises(HdnnError, match=r"G\.fst is damaged"):
        make_graph(lang, *all_systems["tri"])
    (lang / "G.fst").unlink()
    with pytest.raises(HdnnError, match=r"G\.fst does not exist"):
        make_graph(lang, *all_systems["tri"])


def test_step(kaldi_fixture: Path, tmp_path: Path) -> None:
    """mkgraph.sh makes the graph, leaves a fresh one alone, makes an outdated one again, and explains itself."""
    lang = _lang(kaldi_fixture, tmp_path)
    paths = [str(REPOSITORY / "steps_py"), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": ":".join(paths), "PYTHONPATH": str(REPOSITORY)}

    def step(*words: str) -> subprocess.CompletedProcess:
        command = [str(REPOSITORY / "steps_py/mkgraph.sh"), *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    model = str(kaldi_fixture / "exp/tri")
    done = step("--self-loop-scale", "0.2", "lang", model, "graph")
    assert done.returncode == 0, done.stderr
    assert "40 pdfs" in done.stdout
    made = (tmp_path / "graph/HCLG.fst").stat().st_mtime_ns
    done = step("--self-loop-scale", "0.2", "lang", model, "graph")
    assert "up to date" in done.stdout
    assert (tmp_path / "graph/HCLG.fst").stat().st_mtime_ns == made
    assert "up to date" not in step("lang", model, "graph").stdout  # other scales, another graph
    made = (tmp_path / "graph/HCLG.fst").stat().st_mtime_ns
    os.utime(lang / "G.fst")
    assert step("lang", model, "graph").returncode == 0
    assert (tmp_path / "graph/HCLG.fst").stat().st_mtime_ns != made
    done = step("lang", model)
    assert done.returncode == 1
    assert "usage:" in done.stderr
    done = step("lang", "no", "graph")
    assert done.returncode == 1
    assert "no/final.mdl does not exist" in done.stderr


KALDIS = """#!/usr/bin/env bash
# As Kaldi's: it keeps a graph that is newer than what it is made of, and what belongs to the graph comes last.
dir=${!#}
if [ ! -f "$dir/HCLG.fst" ]; then echo "$*" > "$dir/HCLG.fst"; fi
[ ! -e broken ] && echo 40 > "$dir/num_pdfs"
"""


def test_step_with_kaldis_script(kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it left when it died is no graph, nor is one of other scales."""
    _lang(kaldi_fixture, tmp_path)
    script = tmp_path / "kaldi/egs/wsj/s5/utils/mkgraph.sh"
    script.parent.mkdir(parents=True)
    script.write_text(KALDIS)
    script.chmod(0o755)
    monkeypatch.setenv("KALDI_ROOT", str(tmp_path / "kaldi"))
    graph, model = tmp_path / "graph", str(kaldi_fixture / "exp/tri")

    def step(*words: str) -> subprocess.CompletedProcess[str]:
        command = [f". {REPOSITORY}/path.sh && mkgraph.sh --use-kaldi true {' '.join(words)} lang {model} graph"]
        return subprocess.run(["bash", "-c", *command], cwd=tmp_path, capture_output=True, text=True, check=False)

    (tmp_path / "broken").touch()
    assert step().returncode == 1
    (tmp_path / "broken").unlink()
    done = step()
    assert done.returncode == 0, done.stderr
    assert "40 pdfs" in done.stdout
    assert "up to date" in step().stdout
    for scale in ("0.2", "0.3"):
        assert step("--self-loop-scale", scale).returncode == 0
        assert f"--self-loop-scale {scale}" in (graph / "HCLG.fst").read_text()


@pytest.mark.kaldi
def test_kaldi_decodes_with_ours(kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path) -> None:
    """latgen-faster-mapped on our graph finds the words that it finds on Kaldi's."""
    decoder = kaldi_root / "src/bin/latgen-faster-mapped"
    if not decoder.exists():
        pytest.skip("latgen-faster-mapped is not built")
    target = tmp_path / "graph"
    assert call("mkgraph", [str(kaldi_fixture / "lang"), str(kaldi_fixture / "exp/tri"), str(target)]) == 0
    words = []
    for graph in (target, kaldi_fixture / "graph"):
        command = [
            str(decoder), "--beam=13", "--lattice-beam=1", "--acoustic-scale=0.1", "--allow-partial=true",
            f"{kaldi_fixture}/exp/tri/final.mdl", f"{graph}/HCLG.fst", "scp:exp/nnet/loglikes_test.scp",
            f"ark:{tmp_path}/lat", f"ark,t:{tmp_path}/words",
        ]  # fmt: skip
        subprocess.run(command, cwd=kaldi_fixture, check=True, capture_output=True)
        words.append((tmp_path / "words").read_text())
    assert words[0] == words[1]


@pytest.mark.kaldi
def test_fstinfo_reads_ours(kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path) -> None:
    fstinfo = shutil.which("fstinfo") or shutil.which("fstinfo", path=str(kaldi_root / "tools/openfst/bin"))
    if fstinfo is None:
        pytest.skip("fstinfo is neither on PATH nor under the tools of KALDI_ROOT")
    assert call("mkgraph", [str(kaldi_fixture / "lang"), str(kaldi_fixture / "exp/tri"), str(tmp_path)]) == 0
    lines = subprocess.run([fstinfo, str(tmp_path / "HCLG.fst")], capture_output=True, text=True, check=True).stdout
    info = {line[:50].strip(): line[50:].strip() for line in lines.splitlines()}
    graph = read_fst(tmp_path / "HCLG.fst")
    assert info["fst type"] == "const"
    assert info["arc type"] == "standard"
    assert (int(info["# of states"]), int(info["# of arcs"])) == (graph.num_states, graph.num_arcs)
    assert int(info["# of accessible states"]) == int(info["# of coaccessible states"]) == graph.num_states
