"""The decoder against Kaldi's lattices and a plain Viterbi search, and determinisation against brute force."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from hdnn_nnet.cli import call
from hdnn_nnet.decode.decoder import Decoder
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import Fst, read_fst
from hdnn_nnet.kaldi.split import split_data, split_speakers
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.best_path import best_paths
from hdnn_nnet.lattice.determinize import determinize
from hdnn_nnet.lattice.ops import connect
from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
from hdnn_nnet.lattice.types import CompactLattice, Lattice
from tests.support.decoder import OWN_DECODER
from tests.support.lattice_cases import all_paths, untimed_lattices


@pytest.fixture(params=["numpy", "k2"])
def search(request: pytest.FixtureRequest) -> str:
    """Each search in turn."""
    if request.param == "k2":
        pytest.importorskip("k2")
    return request.param


def run_latgen(fixture: Path, folder: Path, search: str, *options: str) -> Path:
    """The command of the fixture's README with our program."""
    status = call("latgen",
        [
            "--min-active=200", "--max-active=7000", "--max-mem=1000000000", "--beam=13.0", "--lattice-beam=5.0",
            "--acoustic-scale=0.1", "--allow-partial=true", f"--search={search}",
            f"--word-symbol-table={fixture}/graph/words.txt", *options,
            f"{fixture}/exp/tri/final.mdl", f"{fixture}/graph/HCLG.fst", f"ark:{fixture}/exp/nnet/loglikes_test.ark",
            f"ark:|gzip -c > {folder}/lat.1.gz", f"ark,t:{folder}/words.txt", f"ark,t:{folder}/ali.txt",
        ]
    )  # fmt: skip
    assert status == 0
    return folder / "lat.1.gz"


def sequences(lattice: CompactLattice) -> dict[tuple[int, ...], float]:
    """Best cost of every word sequence at acoustic scale 0.1."""
    found: dict[tuple[int, ...], float] = {}
    for words, _, graph, acoustic, _ in all_paths(lattice):
        found[words] = min(found.get(words, np.inf), graph + 0.1 * acoustic)
    return found


# With long histories the word lattice is exact; by default sequences far from the best may be lost.
@pytest.mark.parametrize(("history", "exact_beam"), [(8, 4.99), (4, 3.9)])
def test_lattices_equal_kaldi_s(
    kaldi_fixture: Path, tmp_path: Path, search: str, history: int, exact_beam: float
) -> None:
    ours = dict(read_lattices(run_latgen(kaldi_fixture, tmp_path, search, f"--word-history={history}")))
    decode = kaldi_fixture / "exp/decode"
    assert (tmp_path / "words.txt").read_text() == (decode / "best_path.words.int").read_text()
    assert (tmp_path / "ali.txt").read_text() == (decode / "best_path.ali").read_text()
    for key, kaldi in read_lattices(decode / "lat.1.gz"):
        lattice = ours[key]
        assert isinstance(kaldi, CompactLattice)
        assert isinstance(lattice, CompactLattice)
        expected, found = sequences(kaldi), sequences(lattice)
        limit = min(expected.values()) + exact_beam
        for words, cost in expected.items():
            if cost < limit:
                assert found[words] == pytest.approx(cost, abs=1e-3)
        # Deterministic: a path a word sequence.
        assert len(all_paths(lattice)) == len(found)
        frames = {len(path.ids) for path in all_paths(lattice)}
        assert len(frames) == 1


def test_batches_and_state_lattices_give_the_same_best_path(kaldi_fixture: Path, tmp_path: Path, search: str) -> None:
    for name, options in {"one": ["--batch-frames=1"], "all": ["--determinize-lattice=false"]}.items():
        folder = tmp_path / name
        folder.mkdir()
        path = run_latgen(kaldi_fixture, folder, search, *options)
        decode = kaldi_fixture / "exp/decode"
        assert (folder / "words.txt").read_text() == (decode / "best_path.words.int").read_text()
        assert (folder / "ali.txt").read_text() == (decode / "best_path.ali").read_text()
        kinds = {type(lattice) for _, lattice in read_lattices(path)}
        assert kinds == {Lattice if name == "all" else CompactLattice}


def viterbi(fst: Fst, pdf: np.ndarray, loglikes: np.ndarray, scale: float) -> float:
    """Cost of the best path by exhaustive search on the graph as it is, epsilons and all."""
    source, arcs = fst.sources(), fst.arcs
    epsilon = arcs["ilabel"] == 0

    def close(cost: np.ndarray) -> np.ndarray:
        while True:
            reached = cost.copy()
            np.minimum.at(reached, arcs["nextstate"][epsilon], cost[source[epsilon]] + arcs["weight"][epsilon])
            if np.array_equal(reached, cost):
                return cost
            cost = reached

    cost = np.full(fst.num_states, np.inf)
    cost[fst.start] = 0.0
    cost = close(cost)
    real = ~epsilon
    for frame in loglikes.astype(np.float64):
        after = np.full(fst.num_states, np.inf)
        step = arcs["weight"][real] - scale * frame[pdf[arcs["ilabel"][real]]]
        np.minimum.at(after, arcs["nextstate"][real], cost[source[real]] + step)
        cost = close(after)
    return float((cost + fst.final).min())


def test_best_path_is_the_best(kaldi_fixture: Path, search: str) -> None:
    fst = read_fst(kaldi_fixture / "graph/HCLG.fst")
    pdf = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl").tid_to_pdf
    options = SearchOptions(beam=20.0, lattice_beam=2.0, max_active=10000, acoustic_scale=0.1, search=search)
    decoder = Decoder(fst, pdf, options)
    matrices = [matrix for _, matrix in read_matrices(kaldi_fixture / "exp/nnet/loglikes_test.ark")]
    for matrix, result in zip(matrices, decoder.decode(matrices), strict=True):
        assert result.lattice is not None
        assert not result.partial
        path = best_paths(result.lattice, np.array([0.1]), np.zeros(1))[0]
        assert path.graph + 0.1 * path.acoustic == pytest.approx(viterbi(fst, pdf, matrix, 0.1), abs=2e-3)


def test_memory_of_word_lattices_is_bounded(kaldi_fixture: Path) -> None:
    """Flat log-likelihoods put very many paths into the beam; what is dropped is never the best, and never invented."""
    fst = read_fst(kaldi_fixture / "graph/HCLG.fst")
    pdf = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl").tid_to_pdf
    matrices = [0.3 * matrix for _, matrix in read_matrices(kaldi_fixture / "exp/nnet/loglikes_test.ark")]
    free, short, tight = (
        Decoder(fst, pdf, SearchOptions(beam=13.0, lattice_beam=5.0, word_history=history, max_mem=max_mem)).decode(
            matrices
        )
        for history, max_mem in ((8, 1 << 40), (8, 100_000), (8, 16))
    )
    assert not any(result.cut for result in free)
    assert any(result.cut for result in short)
    assert all(result.cut for result in tight)
    sizes = []
    for results in zip(free, short, tight, strict=True):
        found = []
        for result in results:
            assert isinstance(result.lattice, CompactLattice)
            found.append(sequences(result.lattice))
        whole, fewer, fewest = found
        best = min(whole, key=lambda words: whole[words])
        for part in (fewer, fewest):
            assert part[best] == pytest.approx(whole[best], abs=1e-3)
            # A path of a smaller lattice is a path, though perhaps with a worse alignment.
            assert all(part[words] >= whole.get(words, min(whole.values()) + 4.9) - 1e-3 for words in part)
        sizes.append([len(sequences) for sequences in found])
    many, _, few = map(sum, zip(*sizes, strict=True))
    assert few < many / 2


def test_search_that_ends_nowhere_is_partial(
    kaldi_fixture: Path, tmp_path: Path, search: str, caplog: pytest.LogCaptureFixture
) -> None:
    fst = read_fst(kaldi_fixture / "graph/HCLG.fst")
    pdf = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl").tid_to_pdf
    key, matrix = next(read_matrices(kaldi_fixture / "exp/nnet/loglikes_test.ark"))
    decoder = Decoder(fst, pdf, SearchOptions(beam=13.0, lattice_beam=5.0, search=search))
    whole, cut, none = decoder.decode([matrix, matrix[:2], matrix[:0]])
    assert (whole.partial, cut.partial) == (False, True)
    assert cut.lattice is not None
    assert none.lattice is None
    assert best_paths(cut.lattice, np.array([0.1]), np.zeros(1))[0].graph < 100  # no trace of the inner penalty
    import kaldiio

    kaldiio.save_ark(str(tmp_path / "two.ark"), {key: matrix, "cut": matrix[:2]})
    common = [
        str(kaldi_fixture / "exp/tri/final.mdl"),
        str(kaldi_fixture / "graph/HCLG.fst"),
        f"ark:{tmp_path}/two.ark",
    ]
    for allow, expected in (("true", {key, "cut"}), ("false", {key})):
        assert (
            call("latgen", [f"--allow-partial={allow}", f"--search={search}", *common, f"ark:{tmp_path}/out.ark"]) == 0
        )
        assert set(dict(read_lattices(tmp_path / "out.ark"))) == expected
    assert "cut" in caplog.text


def test_graph_with_fewer_states_than_min_active(kaldi_fixture: Path, search: str) -> None:
    fst = read_fst(kaldi_fixture / "exp/denlats/dengraph/HCLG.fst")
    pdf = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl").tid_to_pdf
    _, matrix = next(read_matrices(kaldi_fixture / "exp/nnet/loglikes_train.ark"))
    options = SearchOptions(beam=20.0, lattice_beam=2.0, min_active=200, max_active=5000, search=search)
    decoder = Decoder(fst, pdf, options)
    assert fst.num_states < 200
    (result,) = decoder.decode([matrix])
    assert result.lattice is not None
    path = best_paths(result.lattice, np.array([0.1]), np.zeros(1))[0]
    assert path.graph + 0.1 * path.acoustic == pytest.approx(viterbi(fst, pdf, matrix, 0.1), abs=2e-3)


def test_bad_input_is_refused(kaldi_fixture: Path, tmp_path: Path) -> None:
    import kaldiio

    model, graph = str(kaldi_fixture / "exp/tri/final.mdl"), str(kaldi_fixture / "graph/HCLG.fst")
    kaldiio.save_ark(str(tmp_path / "narrow.ark"), {"utt": np.zeros((5, 7), np.float32)})
    with pytest.raises(HdnnError, match="utt: 7 log-likelihoods"):
        call("latgen", [model, graph, f"ark:{tmp_path}/narrow.ark", f"ark:{tmp_path}/out.ark"])
    kaldiio.save_ark(str(tmp_path / "nan.ark"), {"utt": np.full((5, 40), np.nan, np.float32)})
    with pytest.raises(HdnnError, match="NaN"):
        call("latgen", [model, graph, f"ark:{tmp_path}/nan.ark", f"ark:{tmp_path}/out.ark"])
    with pytest.raises(HdnnError, match=r"--beam must be above 0, not 0\.0"):
        call("latgen", ["--beam=0", model, graph, "ark:none", "ark:none"])
    assert not (tmp_path / "out.ark").exists()


def test_stdin_and_stdout(kaldi_fixture: Path, tmp_path: Path) -> None:
    """Lattices on stdout and nothing else; log-likelihoods from a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "hdnn_nnet", "latgen", f"--word-symbol-table={kaldi_fixture}/graph/words.txt",
         kaldi_fixture / "exp/tri/final.mdl", kaldi_fixture / "graph/HCLG.fst", "ark:-", "ark:-"],
        input=(kaldi_fixture / "exp/nnet/loglikes_test.ark").read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    (tmp_path / "lat.gz").write_bytes(gzip.compress(done.stdout))
    assert [key for key, _ in read_lattices(tmp_path / "lat.gz")] == [
        "spkB-test1",
        "spkB-test2",
        "spkC-test1",
        "spkC-test2",
    ]
    assert b"done 4 utterances, failed 0" in done.stderr


@given(untimed_lattices())
@settings(max_examples=80, deadline=None)
def test_determinize_equals_brute_force(lattice: CompactLattice) -> None:
    lattice.arcs["label"] = np.maximum(lattice.arcs["label"], 1)
    lattice = connect(lattice)
    paths = all_paths(lattice) if lattice.start >= 0 else []
    if not paths:
        with pytest.raises(HdnnError, match="empty"):
            determinize(lattice, 0.5, 10.0)
        return
    best: dict = {}
    for words, _, graph, acoustic, _ in paths:
        best[words] = min(best.get(words, np.inf), graph + 0.5 * acoustic)
    for beam in (100.0, 1.1):
        result = all_paths(determinize(lattice, 0.5, beam))
        found = {words: graph + 0.5 * acoustic for words, _, graph, acoustic, _ in result}
        assert len(found) == len(result)
        inside = {words: cost for words, cost in best.items() if cost <= min(best.values()) + beam}
        # Joined paths may lead beyond the beam, but never fewer, and never at another cost.
        assert set(inside) <= set(found)
        assert found == pytest.approx({words: best[words] for words in found}, abs=1e-4)
        # Transition-ids belong to a path of that cost.
        known = {(words, ids): graph + 0.5 * acoustic for words, ids, graph, acoustic, _ in sorted(paths, reverse=True)}
        for words, ids, graph, acoustic, _ in result:
            assert known[words, ids] >= graph + 0.5 * acoustic - 1e-4


def test_split_keeps_speakers_together(kaldi_fixture: Path, tmp_path: Path) -> None:
    groups = split_speakers({"a": ["1"], "b": ["2", "3", "4", "5"], "c": ["6"], "d": ["7", "8"]}, 3)
    assert groups == [["a", "b"], ["c"], ["d"]]  # what Kaldi's split_scp.pl makes of it: no single move helps
    assert split_speakers({"a": ["1"], "b": ["2"], "c": ["3"] * 2, "d": ["4"] * 4}, 2) == [["a", "b", "c"], ["d"]]
    assert split_speakers({"a": ["1"] * 9, "b": ["2"], "c": ["3"]}, 3) == [["a"], ["b"], ["c"]]
    for name in ("utt2spk", "spk2utt", "feats.scp", "text", "cmvn.scp"):
        (tmp_path / name).write_text((kaldi_fixture / "data/train" / name).read_text())
    split_data(tmp_path, 2)
    whole = {name: (tmp_path / name).read_text() for name in ("utt2spk", "feats.scp", "text", "cmvn.scp")}
    for name, text in whole.items():
        parts = [(tmp_path / "split2" / job / name).read_text() for job in "12"]
        assert all(parts)
        assert sorted("".join(parts).splitlines()) == sorted(text.splitlines())
    speakers = [{line.split()[1] for line in (tmp_path / f"split2/{j}/utt2spk").read_text().splitlines()} for j in "12"]
    assert not speakers[0] & speakers[1]
    with pytest.raises(HdnnError, match="3 speakers into 4 jobs"):
        split_data(tmp_path, 4)


def test_missing_lattices_are_named(kaldi_fixture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "decode"
    folder.mkdir()
    (folder / "num_jobs").write_text("1\n")
    with pytest.raises(HdnnError, match=r"lat\.1\.gz is missing"):
        call("check lattices", [str(kaldi_fixture / "data/test"), str(folder)])
    entries = list(read_lattices(kaldi_fixture / "exp/decode/lat.1.gz"))
    with LatticeWriter(f"ark:| gzip -c > {folder}/lat.1.gz") as writer:
        for key, lattice in entries[:-1]:
            writer.write_lattice(key, lattice)
    with pytest.raises(HdnnError, match="1 of 4 utterances have no lattice: spkC-test2"):
        call("check lattices", [str(kaldi_fixture / "data/test"), str(folder)])
    assert call("check lattices", ["--max-missing=0.3", str(kaldi_fixture / "data/test"), str(folder)]) == 0
    assert "3 of 4 utterances have lattices" in capsys.readouterr().out


@pytest.mark.kaldi
def test_kaldi_reads_our_lattices(kaldi_root: Path, kaldi_fixture: Path, tmp_path: Path, search: str) -> None:
    """lattice-best-path on ours gives Kaldi's best path."""
    program = kaldi_root / "src/latbin/lattice-best-path"
    if not program.exists():
        pytest.skip("lattice-best-path is not built")
    for options in ([], ["--determinize-lattice=false"]):
        path = run_latgen(kaldi_fixture, tmp_path, search, *options)
        command = [str(program), "--acoustic-scale=0.1", f"ark:gunzip -c {path}|", "ark,t:-"]
        words = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        assert words == (kaldi_fixture / "exp/decode/best_path.words.int").read_text()


@pytest.fixture
def recipe(kaldi_fixture: Path, tmp_path: Path) -> Path:
    """A directory to run steps in, with a stand-in for the forward pass and for Kaldi's decoder on PATH."""
    repository = Path(__file__).resolve().parent.parent
    for name in ("local", "steps_py"):
        (tmp_path / name).symlink_to(repository / name)
    shutil.copytree(kaldi_fixture / "data/test", tmp_path / "data/test", copy_function=shutil.copyfile)
    (tmp_path / "data/test").chmod(0o755)
    model = tmp_path / "exp/net"
    model.mkdir(parents=True)
    shutil.copyfile(kaldi_fixture / "exp/tri/final.mdl", model / "final.mdl")
    (model / "model.json").write_text("{}\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    stand_ins = {
        # The log-likelihoods of the fixture, for the job's utterances only.
        "hdnn": f"""
            if [ "$1" != forward ]; then exec {sys.executable} -m hdnn_nnet "$@"; fi
            shift
            [ "$1" = exp/net ] && [ "$3" = ark:- ] || exit 1
            {sys.executable} - "$2/feats.scp" <<'END'
            import sys, kaldiio
            keys = [line.split()[0] for line in open(sys.argv[1])]
            for key, matrix in kaldiio.load_ark("{kaldi_fixture}/exp/nnet/loglikes_test.ark"):
                if key in keys:
                    kaldiio.save_ark(sys.stdout.buffer, {{key: matrix}})
            END
            """,
        # The lattices of the fixture, less one.
        "latgen-faster-mapped": f"""
            cat > /dev/null
            {sys.executable} -c '
            import sys
            from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
            with LatticeWriter(sys.argv[1]) as writer:
                for key, lattice in list(read_lattices("{kaldi_fixture}/exp/decode/lat.1.gz"))[:3]:
                    writer.write_lattice(key, lattice)
            ' "${{@: -1}}"
            """,
    }
    for name, text in stand_ins.items():
        (programs / name).write_text("#!/usr/bin/env bash\n" + textwrap.dedent(text))
        (programs / name).chmod(0o755)
    return tmp_path


def run_step(recipe: Path, *words: str) -> subprocess.CompletedProcess:
    path = f"{recipe}/bin:{recipe}/steps_py:{recipe}/local:{os.environ['PATH']}"
    repository = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {"PATH": path, "PYTHONPATH": repository}
    return subprocess.run(words, cwd=recipe, env=environment, capture_output=True, text=True, check=False)


def test_decoding_step(recipe: Path, kaldi_fixture: Path) -> None:
    done = run_step(
        recipe, "steps_py/decode.sh", "--nj", "2", "--decoder", OWN_DECODER, "--lattice-beam", "5.0",
        "--scoring-opts", "--min-lmwt 7 --max-lmwt 12 --word-ins-penalty 0.0",
        f"{kaldi_fixture}/graph", "data/test", "exp/net/decode_test",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = recipe / "exp/net/decode_test"
    assert (folder / "num_jobs").read_text() == "2\n"
    assert "4 of 4 utterances have lattices" in done.stdout
    assert "%WER 39.29 [ 11 / 28" in done.stdout
    for weight in range(7, 13):
        kaldi = (kaldi_fixture / f"exp/decode/wer_{weight}").read_text()
        assert (folder / f"wer_{weight}_0.0").read_text() == kaldi


KILLED_FORWARD = """#!{python}
import io, os, signal, sys
if sys.argv[1] != "forward":
    os.execv("{python}", ["{python}", "-m", "hdnn_nnet", *sys.argv[1:]])
import kaldiio
matrices = dict(kaldiio.load_ark("{loglikes}"))
keys = [line.split()[0] for line in open(sys.argv[3] + "/feats.scp")]
stream = io.BytesIO()
for key in keys:
    whole = stream.tell()
    kaldiio.save_ark(stream, {{key: matrices[key]}})
if "{last}" in keys:  # in the middle of its matrix
    sys.stdout.buffer.write(stream.getvalue()[: (whole + stream.tell()) // 2])
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdout.buffer.write(stream.getvalue())
"""


@pytest.mark.parametrize("decoder", [OWN_DECODER, pytest.param("kaldi", marks=pytest.mark.kaldi)])
@pytest.mark.parametrize("step", ["decode", "make_denlats"])
def test_a_forward_pass_killed_in_its_stream_fails_the_step(
    recipe: Path, kaldi_fixture: Path, step: str, decoder: str, request: pytest.FixtureRequest
) -> None:
    if decoder == "kaldi":
        program = request.getfixturevalue("kaldi_program")("bin/latgen-faster-mapped")
        (recipe / "bin/latgen-faster-mapped").unlink()
        (recipe / "bin/latgen-faster-mapped").symlink_to(program)
    loglikes = kaldi_fixture / "exp/nnet/loglikes_test.ark"
    text = KILLED_FORWARD.format(python=sys.executable, loglikes=loglikes, last="spkC-test2")
    (recipe / "bin/hdnn").write_text(text)
    common = ["--nj", "2", "--decoder", decoder]
    if step == "decode":
        words = ["--skip-scoring", "true", *common, f"{kaldi_fixture}/graph", "data/test", "exp/net/decode_test"]
    else:  # a share that may be missing is for searches that end nowhere, not for a job that died
        words = ["--max-missing", "0.9", "--dengraph", f"{kaldi_fixture}/graph", *common]
        words += ["data/test", f"{kaldi_fixture}/lang", "exp/net", "exp/net/denlats"]
    done = run_step(recipe, f"steps_py/{step}.sh", *words)
    assert done.returncode == 1, done.stderr
    # What the decoder had not written yet when its input broke off is missing too.
    named = re.search(r"(\d) of 4 utterances have no lattice: ([^;]*);", done.stderr)
    assert named is not None, done.stderr
    names = named[2].split()
    assert len(names) == int(named[1])
    assert set(names) in ({"spkC-test2"}, {"spkC-test1", "spkC-test2"})
    assert not list(recipe.glob("exp/net/*/wer_*")) + list(recipe.glob("exp/net/*/lat.scp"))


def test_a_stopped_decoding_goes_on(recipe: Path, kaldi_fixture: Path) -> None:
    """Jobs that had ended are kept with what they logged, unless something else has changed; what is whole is made anew."""
    forward, calls = recipe / "bin/hdnn", recipe / "calls"
    watched = f"""
        if [ "$1" = forward ]; then
          echo "${{3##*/}}" >> {calls}
          echo "job ${{3##*/}} was here" >&2
          if [ -e {recipe}/fail."${{3##*/}}" ]; then exit 1; fi
          set -- forward "${{@:2:3}}"
        fi
        exec {recipe}/bin/hdnn.plain "$@"
        """
    forward.rename(recipe / "bin/hdnn.plain")
    forward.write_text("#!/usr/bin/env bash\n" + textwrap.dedent(watched))
    forward.chmod(0o755)
    folder = recipe / "exp/net/decode_test"

    def run(*options: str) -> tuple[int, list[str], str]:
        """Status, the jobs that ran, and what was said."""
        calls.write_text("")
        words = ["--nj", "2", "--decoder", OWN_DECODER, "--skip-scoring", "true", *options]
        done = run_step(
            recipe, "steps_py/decode.sh", *words, f"{kaldi_fixture}/graph", "data/test", "exp/net/decode_test"
        )
        return done.returncode, sorted(calls.read_text().split()), done.stdout + done.stderr

    (recipe / "fail.2").touch()
    status, jobs, said = run()
    assert (status, jobs) == (1, ["1", "2"])
    assert "decode again: the parts that ended are kept" in said
    first = (folder / "lat.1.gz").stat().st_mtime_ns
    (recipe / "fail.2").unlink()
    status, jobs, said = run()
    assert (status, jobs) == (0, ["2"]), said
    assert "1 of 2 parts are there from an earlier run" in said
    assert "4 of 4 utterances have lattices" in said
    assert (folder / "lat.1.gz").stat().st_mtime_ns == first
    assert "job 1 was here" in (folder / "log/decode.1.log").read_text()
    resumed = [gzip.decompress((folder / f"lat.{job}.gz").read_bytes()) for job in (1, 2)]
    assert run()[:2] == (0, ["1", "2"])  # it was whole
    assert [gzip.decompress((folder / f"lat.{job}.gz").read_bytes()) for job in (1, 2)] == resumed
    assert not list(folder.glob(".done*")) + list(folder.glob(".parts"))
    (recipe / "fail.2").touch()
    assert run()[:2] == (1, ["1", "2"])
    (recipe / "fail.2").unlink()
    assert run("--beam", "12.0")[:2] == (0, ["1", "2"])


def test_decoding_step_counts_lattices(recipe: Path, kaldi_fixture: Path) -> None:
    words = ["steps_py/decode.sh", "--nj", "1", f"{kaldi_fixture}/graph", "data/test", "exp/net/decode_test"]
    done = run_step(recipe, *words)
    assert done.returncode == 1
    assert "1 of 4 utterances have no lattice: spkC-test2" in done.stderr
    assert not list((recipe / "exp/net/decode_test").glob("wer_*"))
    done = run_step(recipe, *words[:1], "--max-missing", "0.3", "--skip-scoring", "true", *words[1:])
    assert done.returncode == 0, done.stderr
    assert "kaldi decoder" in done.stdout
    (recipe / "exp/net/final.mdl").unlink()
    done = run_step(recipe, *words)
    assert (done.returncode, "exp/net/final.mdl does not exist" in done.stderr) == (1, True)
    done = run_step(recipe, "steps_py/decode.sh", "data/test")
    assert (done.returncode, "usage:" in done.stderr) == (1, True)
