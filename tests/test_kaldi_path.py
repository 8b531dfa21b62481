"""What joins the recipe to real Kaldi: its validators on our directories, the preflight, an existing AMI recipe taken over."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.split import split_data
from local import preflight
from tests.support import small_task
from tests.support.scripts import run_script

REPOSITORY = Path(__file__).resolve().parent.parent


def recipe_in(folder: Path, *names: str) -> Path:
    for name in ("local", "steps_py", "path.sh", *names):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def bash(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f". ./path.sh && {script}"], cwd=folder, env=os.environ | environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def write_recordings(data: Path) -> None:
    """Four utterances of two speakers, as segments of two recordings."""
    data.mkdir(parents=True)
    generator = np.random.default_rng(1)
    for name in ("r1", "r2"):
        soundfile.write(data / f"{name}.wav", generator.standard_normal(32000) * 0.1, 16000)
    (data / "wav.scp").write_text("".join(f"{name} {data}/{name}.wav\n" for name in ("r1", "r2")))
    utterances = [f"s{speaker}-u{number}" for speaker in (1, 2) for number in (1, 2)]
    segments = "".join(f"{u} r{u[1]} {int(u[-1]) - 1}.0 {u[-1]}.0\n" for u in utterances)
    (data / "segments").write_text(segments)
    (data / "reco2file_and_channel").write_text("r1 r1 A\nr2 r2 A\n")
    (data / "text").write_text("".join(f"{u} YES\n" for u in utterances))
    (data / "utt2spk").write_text("".join(f"{u} {u[:2]}\n" for u in utterances))
    (data / "spk2utt").write_text("s1 s1-u1 s1-u2\ns2 s2-u1 s2-u2\n")


@pytest.mark.kaldi
def test_kaldi_accepts_our_data_directories(tmp_path: Path, kaldi_root: Path) -> None:
    recipe = recipe_in(tmp_path)
    (recipe / "utils").symlink_to(kaldi_root / "egs/wsj/s5/utils")
    data = recipe / "data/all"
    write_recordings(data)
    for kind in ("mfcc", "fbank"):
        done = bash(recipe, f"steps_py/make_feats.sh --type {kind} --nj 2 data/all", KALDI_ROOT=str(kaldi_root))
        assert done.returncode == 0, done.stderr
        call("data split-tr-cv", ["--cv-percent", "50", str(data), str(data) + "_tr90", str(data) + "_cv10"])
        split_data(data, 2)
        directories = [data, recipe / "data/all_tr90", recipe / "data/all_cv10", data / "split2/1", data / "split2/2"]
        for directory in directories:
            done = bash(recipe, f"utils/validate_data_dir.sh {directory}", KALDI_ROOT=str(kaldi_root))
            assert done.returncode == 0, done.stdout + done.stderr
            files = {p: p.read_bytes() for p in directory.iterdir() if p.is_file() and p.suffix != ".wav"}
            assert {"feats.scp", "cmvn.scp", "text", "utt2spk", "segments", "wav.scp"} <= {p.name for p in files}
            done = bash(recipe, f"utils/fix_data_dir.sh {directory}", KALDI_ROOT=str(kaldi_root))
            assert done.returncode == 0, done.stdout + done.stderr
            assert {p: p.read_bytes() for p in files} == files


@pytest.mark.kaldi
def test_kaldi_accepts_the_lang_of_denominator_lattices(
    tmp_path: Path, kaldi_root: Path, kaldi_program: Callable[[str], Path]
) -> None:
    """Made from a lang of ours; Kaldi's script sources path.sh by a plain sh."""
    kaldi_program("fstbin/fstaddselfloops")
    kaldi_program("../tools/openfst/bin/fstcompile")
    recipe = recipe_in(tmp_path)
    (recipe / "utils").symlink_to(kaldi_root / "egs/wsj/s5/utils")
    (recipe / "data").mkdir()
    (recipe / "data/text").write_text("u1 YES NO\nu2 NO\n")
    making = "hdnn lang dict data/text dict && hdnn lang prepare dict '<unk>' lang"
    done = bash(recipe, f"{making} && hdnn lang unigram data lang lang denlang")
    assert done.returncode == 0, done.stderr
    for lang in ("lang", "denlang"):
        done = bash(recipe, f"utils/validate_lang.pl {lang}", KALDI_ROOT=str(kaldi_root))
        problems = [line for line in done.stdout.splitlines() if "ERROR" in line]
        assert (done.returncode, problems, "not found" in done.stderr) == (0, [], False)


def test_lost_utterances_are_named(tmp_path: Path) -> None:
    data, _, ali = small_task.make(tmp_path)
    wanted, found = data / "feats.scp", tmp_path / "feats.scp"
    lines = wanted.read_text().splitlines(keepends=True)
    found.write_text("".join(lines[1:]))
    lost = lines[0].split()[0]
    with pytest.raises(HdnnError, match=f"1 of the {len(lines)} utterances of .* are missing .{lost}"):
        call("check utterances", [str(wanted), str(found)])
    assert call("check utterances", ["--max-missing=0.1", str(data), str(found)]) == 0
    assert call("check utterances", [str(data), str(ali)]) == 0
    with (ali / "num_jobs").open("w") as jobs:
        jobs.write("2\n")
    with pytest.raises(HdnnError, match="align again"):
        call("check utterances", [str(data), str(ali)])


def gaps_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    status = run_script(preflight, list(arguments))
    return status, capsys.readouterr().err.splitlines()


def test_preflight_names_each_gap_and_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("KALDI_ROOT", str(tmp_path / "kaldi"))
    monkeypatch.setitem(preflight.DISK, "ami", 1e9)
    words = [
        "--corpus",
        "ami",
        "--toolkit",
        "kaldi",
        "--amicorpus",
        "no",
        "--annotations",
        "",
        "--cmd",
        "queue.pl --mem 2G",
    ]
    status, lines = gaps_of(*words, capsys=capsys)
    assert status == 1
    for gap in ("GB free", "is no Kaldi; export KALDI_ROOT", "'queue.pl --mem 2G' is not on PATH", "--amicorpus 'no'"):
        assert len([line for line in lines if gap in line]) == 1, gap
    assert all(line.startswith("preflight.py: ") and "; " in line for line in lines)
    (line,) = [x for x in gaps_of(*words, "--ssl-model", "no/encoder", capsys=capsys)[1] if "no/encoder" in x]
    assert "no/encoder/config.json does not exist; --ssl-model takes a folder" in line
    # A Kaldi without its programs: the line that builds them.
    (tmp_path / "kaldi/src").mkdir(parents=True)
    status, lines = gaps_of(*words, capsys=capsys)
    assert any(f"make -j 4 -C {tmp_path}/kaldi/src/gmmbin" in line and "gmm-est-fmllr" in line for line in lines)


def test_preflight_finds_a_scheduler_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {"slurm.pl": "", "sbatch": "", "squeue": "echo no controller >&2; exit 1"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setitem(preflight.DISK, "mini", 0.0)
    monkeypatch.setattr(preflight, "package_gaps", lambda toolkit: iter(()))
    _, lines = gaps_of("--cmd", "slurm.pl", "--device", "cpu", capsys=capsys)
    assert (
        "preflight.py: missing: squeue fails: no controller; start the scheduler, or ask the cluster's keepers" in lines
    )
    (tmp_path / "squeue").write_text("#!/bin/sh\n")
    _, lines = gaps_of("--cmd", "slurm.pl", "--device", "cpu", capsys=capsys)
    assert not [line for line in lines if "squeue" in line]


@pytest.fixture
def s5(tmp_path: Path) -> Path:
    """The files of a Kaldi AMI recipe that are looked at; feats.scp has relative paths."""
    folder = tmp_path / "s5"
    for part in ("train", "dev", "eval"):
        data = folder / "data/ihm" / part
        data.mkdir(parents=True)
        for name in ("text", "utt2spk", "spk2utt"):
            (data / name).write_text("u1 s\n")
        (data / "feats.scp").write_text("u1 mfcc/raw.1.ark:5\nu2 /abs/raw.1.ark:9\n")
        (data / "cmvn.scp").write_text("s mfcc/cmvn.ark:3\n")
    (folder / "data/lang").mkdir()
    (folder / "data/lang/phones.txt").write_text("<eps> 0\n")
    (folder / "data/local/lm").mkdir(parents=True)
    (folder / "data/local/lm/final_lm").write_text("ami_fsh.o3g.kn\n")
    for name in ("tri4a/graph_ami_fsh.o3g.kn.pr1-7", "tri4a/decode_dev_ami_fsh.o3g.kn.pr1-7", "tri4a_ali"):
        (folder / "exp/ihm" / name).mkdir(parents=True)
    gmm = folder / "exp/ihm/tri4a"
    for name in ("final.mdl", "final.mat", "tree", "graph_ami_fsh.o3g.kn.pr1-7/HCLG.fst", "../tri4a_ali/ali.1.gz",
                 "../tri4a_ali/trans.1", "decode_dev_ami_fsh.o3g.kn.pr1-7/trans.1"):  # fmt: skip
        (gmm / name).write_text("x")
    return folder


def test_a_kaldi_recipe_is_taken_as_it_is(tmp_path: Path, s5: Path) -> None:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    recipe_in(recipe)
    before = {p: p.stat().st_mtime_ns for p in s5.rglob("*")}
    for _ in range(2):  # it can be repeated
        done = bash(recipe, f"local/link_kaldi_s5.sh {s5} data/ami_s5 exp/ami_s5")
        assert done.returncode == 0, done.stderr
    assert "language model ami_fsh.o3g.kn.pr1-7; fMLLR transforms of: dev" in done.stderr
    feats = (recipe / "data/ami_s5/mfcc/dev/feats.scp").read_text()
    assert feats == f"u1 {s5}/mfcc/raw.1.ark:5\nu2 /abs/raw.1.ark:9\n"
    assert (recipe / "data/ami_s5/lang/phones.txt").read_text() == "<eps> 0\n"
    exp = recipe / "exp/ami_s5"
    assert (exp / "tri4a/graph/HCLG.fst").read_text() == (exp / "tri4a_ali/ali.1.gz").read_text() == "x"
    assert (exp / "tri4a/decode_dev").is_symlink()
    assert not (exp / "tri4a/decode_eval").exists()
    assert {p: p.stat().st_mtime_ns for p in s5.rglob("*")} == before


def test_a_kaldi_recipe_that_lacks_something_is_refused(tmp_path: Path, s5: Path) -> None:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    recipe_in(recipe)
    (s5 / "exp/ihm/tri4a/final.mat").unlink()
    done = bash(recipe, f"local/link_kaldi_s5.sh {s5} data/ami_s5 exp/ami_s5")
    assert (done.returncode, "tri4a/final.mat does not exist; run Kaldi's" in done.stderr) == (1, True)
    (s5 / "data/local/lm/final_lm").unlink()
    shutil.copytree(s5 / "exp/ihm/tri4a/graph_ami_fsh.o3g.kn.pr1-7", s5 / "exp/ihm/tri4a/graph_other")
    done = bash(recipe, f"local/link_kaldi_s5.sh {s5} data/ami_s5 exp/ami_s5")
    assert (done.returncode, "2 graphs in" in done.stderr) == (1, True)
