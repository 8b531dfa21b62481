"""Denominator lattices: the unigram grammar, its graph and the lattices against those that Kaldi made of the same data."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import Fst, read_fst
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.lang.transcripts import Transcripts
from hdnn_nnet.lang.unigram import unigram_grammar, write_lang
from hdnn_nnet.lattice.best_path import best_paths, path_alignment
from hdnn_nnet.lattice.table import LatticeWriter, read_lattice, read_lattices
from tests.support import fixture_recipe
from tests.support.decoder import OWN_DECODER


@pytest.fixture(scope="module")
def recipe(kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture_recipe.make(kaldi_fixture, tmp_path_factory.mktemp("denlats"))


def costs(grammar: Fst) -> dict[int, float]:
    """Cost of each word, and of the end of a sentence under 0; the grammar must have one state."""
    assert (grammar.start, grammar.num_states) == (0, 1)
    assert (grammar.arcs["nextstate"] == 0).all()
    np.testing.assert_array_equal(grammar.arcs["ilabel"], grammar.arcs["olabel"])
    found = dict(zip(grammar.arcs["ilabel"].tolist(), grammar.arcs["weight"].tolist(), strict=True))
    assert len(found) == grammar.num_arcs
    return found | {0: float(grammar.final[0])}


def fixture_grammar(kaldi_fixture: Path) -> Fst:
    transcripts = Transcripts(kaldi_fixture / "lang")
    return unigram_grammar(transcripts.numbers(t) for t in read_scp(kaldi_fixture / "data/train/text").values())


def test_kaldis_grammar(kaldi_fixture: Path) -> None:
    ours = costs(fixture_grammar(kaldi_fixture))
    kaldis = costs(read_fst(kaldi_fixture / "exp/denlats/lang/G.fst"))
    assert ours == pytest.approx(kaldis, abs=1e-4)
    assert list(ours)[:-1] == sorted(ours)[1:]  # sorted by input label, as composition wants


@given(st.lists(st.lists(st.integers(1, 30), max_size=8), min_size=1, max_size=9).filter(any))
def test_probabilities(sentences: list[list[int]]) -> None:
    """The cost of a text is that of its relative frequencies; all events together have probability 1."""
    found = costs(unigram_grammar(sentences))
    assert sum(np.exp(-cost) for cost in found.values()) == pytest.approx(1, abs=1e-5)
    events = [word for sentence in sentences for word in [*sentence, 0]]
    assert set(found) == set(events)
    for event in set(events):
        assert np.exp(-found[event]) * len(events) == pytest.approx(events.count(event), rel=1e-5)


def test_no_words() -> None:
    with pytest.raises(HdnnError, match="no words"):
        unigram_grammar([[], []])


def test_lang_is_touched_where_it_differs(recipe: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    source, target = recipe / "lang", tmp_path / "lang"
    grammar = fixture_grammar(kaldi_fixture)
    write_lang(source, target, grammar)
    names = {path.relative_to(source) for path in source.rglob("*")}
    assert {path.relative_to(target) for path in target.rglob("*")} == names
    for name in names:
        if (source / name).is_file() and name.name != "G.fst":
            assert (target / name).read_bytes() == (source / name).read_bytes()
    assert costs(read_fst(target / "G.fst")) == costs(grammar)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()}
    write_lang(source, target, grammar)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    write_lang(source, target, unigram_grammar([[4, 5]]))
    assert [path.name for path in before if path.stat().st_mtime_ns != before[path]] == ["G.fst"]
    with pytest.raises(HdnnError, match="would be overwritten"):
        write_lang(source, recipe / "exp/../lang", grammar)


def test_kaldis_graph(recipe: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    """Random paths through the graph of our grammar and through Kaldi's cost the same in both."""
    from hdnn_nnet.graph.make import make_graph
    from tests.test_mkgraph import _same_paths, systems

    write_lang(recipe / "lang", tmp_path / "lang", fixture_grammar(kaldi_fixture))
    graph = make_graph(tmp_path / "lang", *systems(kaldi_fixture)["tri"])
    _same_paths(graph.fst, kaldi_fixture / "exp/denlats/dengraph/HCLG.fst", [], tmp_path, paths=60)


def test_kaldis_lattices(kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kaldi's graph and log-likelihoods at the fixture's settings: words, alignment and costs of the best paths."""
    monkeypatch.chdir(kaldi_fixture)
    status = call("latgen",
        [
            "--beam=13.0", "--lattice-beam=6.0", "--acoustic-scale=0.1", "--max-mem=1000000000", "--max-active=5000",
            "--word-symbol-table=lang/words.txt", "exp/tri/final.mdl", "exp/denlats/dengraph/HCLG.fst",
            "scp:exp/nnet/loglikes_train.scp", f"ark,scp:{tmp_path}/lat.ark,{tmp_path}/lat.scp",
        ]
    )  # fmt: skip
    assert status == 0
    ours = dict(read_lattices(f"scp:{tmp_path}/lat.scp"))
    kaldis = dict(read_lattices("scp:exp/denlats/lat.scp"))
    assert len(kaldis) == 10
    assert list(ours) == list(kaldis)
    scale, none = np.array([0.1]), np.zeros(1)
    for key, lattice in kaldis.items():
        expected, found = (best_paths(lat, scale, none)[0] for lat in (lattice, ours[key]))
        assert found.words.tolist() == expected.words.tolist()
        np.testing.assert_array_equal(path_alignment(ours[key], found), path_alignment(lattice, expected))
        assert found.graph == pytest.approx(expected.graph, abs=1e-4)
        assert found.acoustic == pytest.approx(expected.acoustic, abs=1e-2)


def test_step(recipe: Path, kaldi_fixture: Path) -> None:
    """From Kaldi's network and transcripts to Kaldi's best paths, by our grammar, graph, forward pass and decoder."""
    pytest.importorskip("kaldi_hmm_gmm")
    words = (
        "--decoder",
        OWN_DECODER,
        "--nj",
        "1",
        "--lattice-beam",
        "6.0",
        "data/train",
        "lang",
        "exp/nnet1",
        "exp/denlats",
    )
    done = fixture_recipe.step(recipe, "make_denlats.sh", *words)
    assert done.returncode == 0, done.stderr
    assert "unigram grammar of 11 words from 10 transcripts, 2 words unknown" in done.stdout
    assert "10 of 10 utterances have lattices" in done.stdout
    folder = recipe / "exp/denlats"
    assert (folder / "num_jobs").read_text() == "1\n"
    for name in ("final.mdl", "tree"):
        assert (folder / name).read_bytes() == (recipe / "exp/nnet1" / name).read_bytes()
    script = read_scp(folder / "lat.scp")
    assert list(script) == list(read_scp(recipe / "data/train/feats.scp"))
    assert all(place.startswith(f"{folder}/lat.") for place in script.values())
    ours = dict(read_lattices(folder / "lat.scp"))
    scale, none = np.array([0.1]), np.zeros(1)
    for key, place in read_scp(kaldi_fixture / "exp/denlats/lat.scp").items():
        kaldis = read_lattice(kaldi_fixture / place.split()[2])  # gunzip -c FILE |
        expected, found = (best_paths(lat, scale, none)[0] for lat in (kaldis, ours[key]))
        assert found.words.tolist() == expected.words.tolist()
        # Determinization of graphs quantizes weights in steps of 1/1024.
        assert found.graph == pytest.approx(expected.graph, abs=0.02)
        # Acoustic costs differ by a constant for each frame: Kaldi's log-likelihoods are made without softmax.
        np.testing.assert_array_equal(path_alignment(ours[key], found), path_alignment(kaldis, expected))


@pytest.mark.kaldi
def test_step_with_real_kaldi(recipe: Path, kaldi_fixture: Path, kaldi_root: Path) -> None:
    """latgen-faster-mapped behind our forward pass, writing ark,scp: the lattices of the fixture, path for path."""
    programs = fixture_recipe.kaldi_program(kaldi_root, "latgen-faster-mapped").parent
    done = fixture_recipe.step(
        recipe, "make_denlats.sh", "--decoder", "kaldi", "--nj", "1", "--lattice-beam", "6.0", "--max-mem", "1000000000",
        "--dengraph", f"{kaldi_fixture}/exp/denlats/dengraph", "data/train", "lang", "exp/nnet1", "exp/real_denlats",
        programs=str(programs),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "10 of 10 utterances have lattices" in done.stdout
    ours = dict(read_lattices(recipe / "exp/real_denlats/lat.scp"))
    scale, none = np.array([0.1]), np.zeros(1)
    for key, place in read_scp(kaldi_fixture / "exp/denlats/lat.scp").items():
        kaldis = read_lattice(kaldi_fixture / place.split()[2])
        assert ours[key].num_arcs == pytest.approx(kaldis.num_arcs, rel=0.05)
        expected, found = (best_paths(lat, scale, none)[0] for lat in (kaldis, ours[key]))
        np.testing.assert_array_equal(path_alignment(ours[key], found), path_alignment(kaldis, expected))
        assert found.graph == pytest.approx(expected.graph, abs=1e-4)


@pytest.fixture
def stand_in(recipe: Path, kaldi_fixture: Path, tmp_path: Path) -> Path:
    """A latgen-faster-mapped that reads all of its input and writes Kaldi's lattices, all but one."""
    program = tmp_path / "bin/latgen-faster-mapped"
    program.parent.mkdir()
    text = f"""\
        #!/usr/bin/env bash
        cat > /dev/null
        cd {kaldi_fixture}
        {sys.executable} -c '
        import sys
        from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
        with LatticeWriter(sys.argv[1]) as writer:
            for key, lattice in list(read_lattices("scp:exp/denlats/lat.scp"))[:-1]:
                writer.write_lattice(key, lattice)
        ' "${{@: -1}}"
        """
    program.write_text(textwrap.dedent(text))
    program.chmod(0o755)
    return program.parent


def test_step_with_kaldis_decoder(recipe: Path, stand_in: Path, kaldi_fixture: Path) -> None:
    """A given graph, missing lattices, a forward pass that dies, and wrong directories."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        graph = ("--dengraph", str(kaldi_fixture / "exp/denlats/dengraph"), "--nj", "1")
        return fixture_recipe.step(recipe, "make_denlats.sh", *graph, *words, programs=str(stand_in))

    words = ("data/train", "lang", "exp/nnet1", "exp/kaldi_denlats")
    done = run(*words)
    assert done.returncode == 1
    assert "1 of 10 utterances have no lattice: spkC-train3" in done.stderr
    folder = recipe / "exp/kaldi_denlats"
    assert not (folder / "lat.scp").exists()
    assert not (folder / "lang").exists()
    arguments = ["1", *(str(recipe / word) for word in ("data/train", "exp/nnet1", "exp/kaldi_denlats"))]
    assert call("collect lattices", ["--max-missing=0.1", *arguments]) == 0
    assert len(dict(read_lattices(folder / "lat.scp"))) == 9

    # The decoder's own status is 0 here.
    (recipe / "data/broken").mkdir()
    for name in ("feats.scp", "cmvn.scp", "utt2spk"):
        text = (recipe / "data/train" / name).read_text()
        (recipe / "data/broken" / name).write_text(text.replace("feats.ark", "gone.ark"))
    done = run("--max-missing", "0.1", "data/broken", *words[1:])
    assert done.returncode != 0
    assert "gone.ark" in done.stderr
    assert not (folder / "lat.scp").exists()

    done = run(*words[:3])
    assert (done.returncode, "e.g.:" in done.stderr) == (1, True)
    done = run("data/train", "lang", "data/train", "exp/x")
    assert (done.returncode, "data/train/final.mdl does not exist" in done.stderr) == (1, True)
    done = run("--decoder", "sphinx", *words)
    assert (done.returncode, "must be one of auto, kaldi, k2" in done.stderr) == (1, True)


def test_a_stopped_step_goes_on(recipe: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    """Parts that had ended are kept, unless options, network or features are others; a whole directory is made anew."""
    program, calls = tmp_path / "bin/latgen-faster-mapped", tmp_path / "calls"
    program.parent.mkdir()
    text = f"""\
        #!/usr/bin/env bash
        part=$(sed 's/.*lat\\.\\([0-9]*\\)\\.scp$/\\1/' <<< "${{@: -1}}")
        echo "$part" >> {calls}
        if [ -e {tmp_path}/fail.$part ]; then exit 1; fi
        cd {kaldi_fixture}
        {sys.executable} -c '
        import sys
        from hdnn_nnet.kaldi.tables import read_matrices
        from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
        wanted = [key for key, _ in read_matrices("ark:-")]
        with LatticeWriter(sys.argv[1]) as writer:
            for key, lattice in read_lattices("scp:exp/denlats/lat.scp"):
                if key in wanted:
                    writer.write_lattice(key, lattice)
        ' "${{@: -1}}"
        """
    program.write_text(textwrap.dedent(text))
    program.chmod(0o755)
    folder, data = recipe / "exp/resumed", recipe / "data/train"

    def run(*options: str) -> tuple[int, list[int], str]:
        """Status, the parts that were decoded, and what was said."""
        calls.write_text("")
        words = ["--sub-split", "3", "--nj", "1", "--dengraph", str(kaldi_fixture / "exp/denlats/dengraph"), *options]
        words += [str(data), "lang", "exp/nnet1", "exp/resumed"]
        done = fixture_recipe.step(recipe, "make_denlats.sh", *words, programs=str(program.parent))
        return done.returncode, sorted(map(int, calls.read_text().split())), done.stdout + done.stderr

    (tmp_path / "fail.2").touch()
    assert run()[:2] == (1, [1, 2, 3])
    assert not (folder / "lat.scp").exists()
    first = (folder / "lat.1.ark").stat().st_mtime_ns
    status, parts, said = run()
    assert (status, parts) == (1, [2])
    assert "2 of 3 parts are there from an earlier run" in said
    (tmp_path / "fail.2").unlink()
    status, parts, said = run()
    assert (status, parts) == (0, [2])
    assert (folder / "lat.1.ark").stat().st_mtime_ns == first
    assert "10 of 10 utterances have lattices" in said
    resumed = dict(read_lattices(folder / "lat.scp"))
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} <= {".lock"}
    assert run()[:2] == (0, [1, 2, 3])  # it was whole
    whole = dict(read_lattices(folder / "lat.scp"))
    assert list(whole) == list(resumed)
    for key, lattice in whole.items():
        np.testing.assert_array_equal(lattice.arcs, resumed[key].arcs)

    def stopped() -> None:
        (tmp_path / "fail.3").touch()
        assert run()[:2] == (1, [1, 2, 3])
        (tmp_path / "fail.3").unlink()

    stopped()
    assert run("--beam", "12.0")[:2] == (0, [1, 2, 3])
    stopped()
    text = (data / "feats.scp").read_text()
    (data / "feats.scp").write_text(text)  # newer: features may be others behind the same names
    assert run()[:2] == (0, [1, 2, 3])
    stopped()
    (folder / "lat.1.ark").write_bytes(b"")
    status, parts, said = run()
    assert (status, parts) == (1, [3])
    assert "lat.1" in said
    assert run()[:2] == (0, [1, 2, 3])  # a damaged part is made again


def test_collecting(recipe: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    """Jobs in any order give data order; a missing job and a truncated archive are errors."""
    wanted = list(read_scp(recipe / "data/train/feats.scp"))
    arguments = ["2", str(recipe / "data/train"), str(recipe / "exp/nnet1"), str(tmp_path)]
    lattice = read_lattice(kaldi_fixture / "exp/denlats/lat1/spkA-train1.gz")
    for job, keys in {1: wanted[1::2], 2: wanted[-2::-2]}.items():
        with pytest.raises(HdnnError, match=rf"lat\.{job}\.scp does not exist"):
            call("collect lattices", arguments)
        with LatticeWriter(f"ark,scp:{tmp_path}/lat.{job}.ark,{tmp_path}/lat.{job}.scp") as writer:
            for key in keys:
                writer.write_lattice(key, lattice)
    assert call("collect lattices", arguments) == 0
    assert [key for key, _ in read_lattices(tmp_path / "lat.scp")] == wanted
    (tmp_path / "lat.2.ark").write_bytes((tmp_path / "lat.2.ark").read_bytes()[:-10])
    with pytest.raises(HdnnError, match="truncated"):
        call("collect lattices", arguments)
