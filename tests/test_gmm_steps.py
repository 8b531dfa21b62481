"""Steps of speaker-adapted GMMs, each from files of Kaldi or from what the step before left."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.feats.affine import read_transforms
from hdnn_nnet.gmm.features import open_features, read_speaker_transforms
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import AnyLattice
from tests.support import fixture_recipe
from tests.support.decoder import OWN_DECODER
from tests.support.fixture_recipe import REPOSITORY


@pytest.fixture(scope="module")
def recipe(
    kaldi_fixture: Path, fmllr_fixture: Path, gmm_fixture: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """data/{train,test}, lang, graph, exp/ali, and Kaldi's system in exp/sat."""
    folder = fixture_recipe.make(kaldi_fixture, tmp_path_factory.mktemp("gmm_steps"))
    fixture_recipe.copy_data(kaldi_fixture, folder / "data/test", "test")
    shutil.copytree(gmm_fixture / "lang_phones", folder / "lang/phones", dirs_exist_ok=True)
    for source, target in ((kaldi_fixture / "graph", "graph"), (kaldi_fixture / "exp/ali", "exp/ali")):
        shutil.copytree(source, folder / target, copy_function=shutil.copyfile)
    system = folder / "exp/sat"
    system.mkdir()
    for name in ("lda/final.mat", "lda/splice_opts", "lda/cmvn_opts", "lda/tree", "sat/final.mdl", "sat/final.alimdl"):
        shutil.copyfile(fmllr_fixture / name, system / Path(name).name)
    shutil.copyfile(kaldi_fixture / "lang/phones.txt", system / "phones.txt")
    for path in [
        folder / "graph",
        folder / "exp/ali",
        *(folder / "graph").rglob("*"),
        *(folder / "exp/ali").rglob("*"),
    ]:
        path.chmod(0o755)
    return folder


def step(recipe: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return fixture_recipe.step(recipe, name, *words)


def test_train_align_and_dump(recipe: Path) -> None:
    """LDA + MLLT, SAT, alignment, features: the argument orders of Kaldi's steps."""
    few = ["--num-iters", "5", "--max-iter-inc", "3", "--realign-iters", "3"]
    done = step(
        recipe, "train_lda_mllt.sh", *few, "--dim", "15", "--mllt-iters", "2 4", "--nj", "2",
        "40", "80", "data/train", "lang", "exp/ali", "exp/tri3a",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "exp/tri3a: " in done.stdout
    assert "10 utterances aligned, 0 failed" in done.stdout
    options = ["--fmllr-iters", "2", "--silence-weight", "0.0"]
    done = step(recipe, "train_sat.sh", *few, *options, "40", "80", "data/train", "lang", "exp/tri3a", "exp/tri4a")
    assert done.returncode == 0, done.stderr
    assert list(read_speaker_transforms(recipe / "exp/tri4a")) == ["spkA", "spkB", "spkC"]
    done = step(recipe, "align_fmllr.sh", "--nj", "9", "data/train", "lang", "exp/tri4a", "exp/tri4a_ali")
    assert done.returncode == 0, done.stderr
    assert "10 of 10 utterances aligned, 2556 frames; transforms gain" in done.stdout
    assert ", 0 speakers with the identity" in done.stdout
    assert (recipe / "exp/tri4a_ali/num_jobs").read_text() == "3\n"  # no more jobs than speakers
    done = step(recipe, "align_si.sh", "--nj", "2", "data/train", "lang", "exp/tri3a", "exp/tri3a_ali")
    assert done.returncode == 0, done.stderr
    assert len(read_alignments(recipe / "exp/tri3a_ali")) == 10
    done = step(
        recipe, "make_fmllr_feats.sh", "--nj", "2", "--transform-dir", "exp/tri4a_ali",
        "data-fmllr/train", "data/train", "exp/tri4a", "exp/make_fmllr/log", "data-fmllr/arks",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "10 utterances, 2556 frames, 15 dimensions, statistics of 3 speakers" in done.stdout
    transforms = read_speaker_transforms(recipe / "exp/tri4a_ali")
    wanted = open_features(recipe / "data/train", recipe / "exp/tri4a", None, transforms)
    found = dict(read_matrices(recipe / "data-fmllr/train/feats.scp"))
    assert all(np.array_equal(found[utterance], matrix) for utterance, matrix in wanted)


@pytest.mark.parametrize("rescore", ["false", "true"])
def test_decode_in_two_passes(recipe: Path, fmllr_fixture: Path, rescore: str) -> None:
    """Our decoder on Kaldi's system: the words of Kaldi's lattices, and nearly its transforms."""
    target = f"exp/sat/decode_{rescore}"
    options = [
        "--nj",
        "2",
        "--decoder",
        OWN_DECODER,
        "--skip-scoring",
        "true",
        "--fmllr-min-count",
        "100",
        "--rescore",
        rescore,
    ]
    done = step(recipe, "decode_fmllr.sh", *options, "graph", "data/test", target)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 utterances have lattices" in done.stdout
    assert "a frame, 0 speakers with the identity, then 0." in done.stdout
    transforms = {**read_transforms(recipe / target / "trans.1"), **read_transforms(recipe / target / "trans.2")}
    for speaker, matrix in read_transforms(fmllr_fixture / "decode/trans.1").items():
        assert np.abs(transforms[speaker] - matrix).max() < 0.1 * np.abs(matrix).max()
    assert not (recipe / target / "pass2").exists()
    kaldis = dict(read_lattices(fmllr_fixture / "decode/lat.rescored.txt.gz"))
    for job in (1, 2):
        for key, lattice in read_lattices(recipe / target / f"lat.{job}.gz"):
            assert best_words(lattice) == best_words(kaldis[key])


def test_a_stopped_decoding_goes_on(recipe: Path) -> None:
    """Stopped in each of its three searches: what had ended is kept, and the result is that of one run."""
    launcher = recipe / "launcher"
    launcher.write_text(
        '#!/usr/bin/env bash\nif [[ $2 == $(cat stop) ]]; then run.py JOB=1:1 "${@:2}"; exit 1; fi\nexec run.py "$@"\n'
    )
    launcher.chmod(0o755)
    words = f"--nj 2 --decoder {OWN_DECODER} --skip-scoring true --first-max-active 300 --cmd ./launcher".split()

    def run(directory: str, stop: str) -> tuple[int, list[str], str]:
        """Without the second job of one search: status, how many parts of which search were there, and what was said."""
        (recipe / "stop").write_text(stop)
        done = step(recipe, "decode_fmllr.sh", *words, "graph", "data/test", directory)
        said = done.stdout + done.stderr
        return done.returncode, re.findall(r"(\d of \d) parts are there from an earlier run", said), said

    assert run("exp/sat/whole", "")[:2] == (0, [])
    status, parts, said = run("exp/sat/parts", "*.si/log/decode.*")
    assert (status, parts) == (1, [])
    assert "decode again: the parts that ended are kept" in said
    first = (recipe / "exp/sat/parts.si/lat.1.gz").stat().st_mtime_ns
    assert run("exp/sat/parts", "*/decode_pass2.*")[:2] == (1, ["1 of 2"])
    assert run("exp/sat/parts", "*/parts/log/decode.*")[:2] == (1, ["2 of 2", "1 of 2"])
    assert run("exp/sat/parts", "")[:2] == (0, ["2 of 2", "2 of 2", "1 of 2"])
    assert (recipe / "exp/sat/parts.si/lat.1.gz").stat().st_mtime_ns == first
    for name in ("lat.1.gz", "lat.2.gz"):
        whole, resumed = (gzip.decompress((recipe / "exp/sat" / d / name).read_bytes()) for d in ("whole", "parts"))
        assert resumed == whole
    for name in ("trans.1", "trans.2"):
        assert (recipe / "exp/sat/parts" / name).read_bytes() == (recipe / "exp/sat/whole" / name).read_bytes()
    assert sorted(p.name for p in (recipe / "exp/sat/parts").iterdir()) == sorted(
        p.name for p in (recipe / "exp/sat/whole").iterdir()
    )


@pytest.mark.slow
def test_features_of_a_stopped_decoding(recipe: Path) -> None:
    """local/fmllr.sh goes on with the decoding that it was stopped in."""
    launcher = recipe / "second"
    launcher.write_text(
        "#!/usr/bin/env bash\n"
        'if [ -e die ] && [[ $2 == */decode_pass2.* ]]; then run.py JOB=1:1 "${@:2}"; exit 1; fi\nexec run.py "$@"\n'
    )
    launcher.chmod(0o755)
    for folder in ("steps_py", "local"):
        (recipe / folder).symlink_to(REPOSITORY / folder)
    (recipe / "data/test/spk2utt").write_text(
        "".join(f"{speaker} {' '.join(utts)}\n" for speaker, utts in DataDir(recipe / "data/test").spk2utts.items())
    )
    (recipe / "narrow.conf").write_text("first_max_active=300\nmax_active=300\n")
    words = "--train '' --sets test --nj 2 --decode-cmd ./second --decode-config narrow.conf"
    command = f". {REPOSITORY}/path.sh && local/fmllr.sh {words} data exp/sat none graph data-fmllr"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, check=False)

    (recipe / "die").touch()
    assert run().returncode == 1
    (recipe / "die").unlink()
    done = run()
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(\d of \d) parts are there from an earlier run", done.stdout + done.stderr) == [
        "2 of 2",
        "1 of 2",
    ]
    assert (recipe / "data-fmllr/test/feats.scp").exists()
    assert "exp/sat/decode_test is up to date" in run().stderr


def test_decode_without_transforms(recipe: Path, fmllr_fixture: Path) -> None:
    """decode.sh with a GMM: the words of Kaldi's first pass."""
    pytest.importorskip("k2")
    options = ["--nj", "1", "--decoder", "k2", "--acwt", "0.083333", "--lattice-beam", "6", "--skip-scoring", "true"]
    options += ["--srcdir", "exp/sat", "--model", "exp/sat/final.alimdl"]
    done = step(recipe, "decode.sh", *options, "graph", "data/test", "exp/sat/decode_si")
    assert done.returncode == 0, done.stderr
    assert "4 of 4 utterances have lattices" in done.stdout
    kaldis = dict(read_lattices(fmllr_fixture / "decode/lat.si.1.gz"))
    ours = dict(read_lattices(recipe / "exp/sat/decode_si/lat.1.gz"))
    assert ours.keys() == kaldis.keys()
    for key, lattice in ours.items():
        assert best_words(lattice) == best_words(kaldis[key])
    done = step(recipe, "decode.sh", *options, "--adapt-dir", "exp/adapted", "graph", "data/test", "exp/sat/decode_si")
    assert done.returncode == 1
    assert "exp/sat is a GMM; --adapt-dir is for networks" in done.stderr


@pytest.mark.kaldi
def test_decode_with_kaldis_decoder(recipe: Path, kaldi_root: Path, fmllr_fixture: Path) -> None:
    program = fixture_recipe.kaldi_program(kaldi_root, "latgen-faster-mapped")
    options = ["--nj", "1", "--decoder", "kaldi", "--skip-scoring", "true", "--fmllr-min-count", "100"]
    words = [*options, "graph", "data/test", "exp/sat/decode_kaldi"]
    done = fixture_recipe.step(recipe, "decode_fmllr.sh", *words, programs=str(program.parent))
    assert done.returncode == 0, done.stderr
    assert "4 of 4 utterances have lattices" in done.stdout
    transforms = read_transforms(recipe / "exp/sat/decode_kaldi/trans.1")
    for speaker, matrix in read_transforms(fmllr_fixture / "decode/trans.1").items():
        assert np.abs(transforms[speaker] - matrix).max() < 0.05 * np.abs(matrix).max()


def best_words(lattice: AnyLattice) -> list[int]:
    from hdnn_nnet.lattice.best_path import best_paths

    return best_paths(lattice, np.array([0.083333]), np.zeros(1), "lattice")[0].words.tolist()


def test_what_steps_refuse(recipe: Path) -> None:
    done = step(recipe, "decode_fmllr.sh", "--silence-weight", "-1", "graph", "data/test", "exp/sat/decode")
    assert done.returncode == 1
    assert "--silence-weight must be at least 0" in done.stderr
    done = step(recipe, "align_fmllr.sh", "data/train", "lang", "exp/none", "exp/ali2")
    assert done.returncode == 1
    assert "exp/none/final.mdl does not exist" in done.stderr
    done = step(recipe, "train_sat.sh", "40", "data/train", "lang", "exp/ali", "exp/out")
    assert done.returncode == 1
    assert "wrong number of arguments" in done.stderr
    done = step(
        recipe, "make_fmllr_feats.sh", "--transform-dir", "exp/ali", "d", "data/train", "exp/sat", "exp/log", "arks"
    )
    assert done.returncode == 1
    assert "has no trans.1" in done.stderr + done.stdout
