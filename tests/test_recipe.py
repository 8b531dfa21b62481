"""run.sh from nothing to a WER table, on a corpus of a few minutes."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.score.best import best, read_wer_files
from tests.support.encoders import DIM, tiny

REPOSITORY = Path(__file__).resolve().parent.parent
OPTIONS = ["--corpus", "mini", "--hours-train", "0.1", "--networks", "", "--max-iters", "4", "--nj", "2"]
OPTIONS += ["--teacher", "dnn-h64l2", "--kd-networks", "hdnn-h32l4", "--smbr", "hdnn-h32l4_kd"]
OPTIONS += ["--online-networks", "hdnn-h32l4"]
QUICK = ["--gmm", "mono"]
SMBR_TEACHER = ["--teacher-smbr", "true", "--smbr", "hdnn-h32l4_kd_smbrteacher"]


def without_kaldi() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "KALDI_ROOT"}


def recipe(folder: Path, *options: str, kaldi_root: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = without_kaldi()
    if kaldi_root is not None:
        environment["KALDI_ROOT"] = str(kaldi_root)
    return subprocess.run(
        ["./run.sh", *OPTIONS, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe directory like egs/ami/s5."""
    source = REPOSITORY / "egs/ami/s5"
    for name in ("run.sh", "cmd.sh"):
        shutil.copy(source / name, tmp_path / name)
    shutil.copytree(source / "conf", tmp_path / "conf")
    for name in ("local", "steps_py", "path.sh"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    return tmp_path


def wer_of_first(per_utt: Path, number: int) -> float:
    """WER of the first utterances in a file of Kaldi's form, which the recipe's decoder had."""
    rows = [line.split() for line in per_utt.read_text().splitlines()]
    counts = [[int(n) for n in row[2:]] for row in rows if row[1] == "#csid"][:number]
    correct, substituted, inserted, deleted = map(sum, zip(*counts, strict=True))
    return 100 * (substituted + inserted + deleted) / (correct + substituted + deleted)


@pytest.mark.slow
def test_from_nothing_to_a_table(folder: Path) -> None:
    pytest.importorskip("kaldi_hmm_gmm")
    pytest.importorskip("vosk")
    done = recipe(folder, *QUICK, *SMBR_TEACHER)
    assert done.returncode == 0, done.stderr[-3000:]
    exp = folder / "exp/mini_mono"
    # The student learnt from the teacher as it was after sMBR.
    assert list(json.loads((exp / "soft_dnn-h64l2_smbr/info.json").read_text())["teachers"]) == [
        "exp/mini_mono/dnn-h64l2_smbr"
    ]
    rows = (exp / "wer.md").read_text().splitlines()[2:]
    assert all(row in done.stdout for row in rows)
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [cells[:2] for cells in table] == [
        ["dnn-h64l2", "CE"],
        ["hdnn-h32l4_kd_smbrteacher", "KD q=0 T=1"],
        ["dnn-h64l2_smbr", "CE + sMBR p=0.2 (CE)"],
        ["hdnn-h32l4_kd_smbrteacher_smbr", "KD q=0 T=1 + sMBR p=0.2 (KD)"],
        ["hdnn-h32l4_kd_smbrteacher_smbr_adapt", "KD q=0 T=1 + sMBR p=0.2 (KD) + adapted (CE, gates)"],
        ["hdnn-h32l4_online", "KD q=0 T=1"],
    ]
    chain = (
        "dnn-h64l2",
        "hdnn-h32l4_kd_smbrteacher",
        "dnn-h64l2_smbr",
        "hdnn-h32l4_kd_smbrteacher_smbr",
        "hdnn-h32l4_kd_smbrteacher_smbr_adapt",
        "hdnn-h32l4_online",
    )
    for directory, cells in zip(chain, table, strict=True):
        weight, penalty = cells[6].split(", ")
        for part, wer in zip(("dev", "eval"), map(float, cells[-2:]), strict=True):
            # Six minutes of training speech: far from good, and far from nothing recognised; but on eval, which is noisier,
            # a student on plain features recognises hardly anything.
            assert 0 < wer < (100 if (directory, part) == ("hdnn-h32l4_online", "eval") else 85)
            text = (exp / f"{directory}/decode_{part}/wer_{weight}_{penalty}").read_text()
            assert float(re.search(r"%WER ([0-9.]+)", text)[1]) == wer  # type: ignore[index]  # None fails the test too
    for figure in ("training.png", "wer.png"):
        assert (exp / figure).read_bytes().startswith(b"\x89PNG")
    assert "hdnn-h32l4_kd_smbrteacher_smbr_adapt" in (exp / "report.html").read_text()
    # The student for on-line use was exported, and the exports hear what our decoder hears. A word is half a point of
    # these few, and such a poor model's close calls differ; tests/test_mini_export.py has the whole mini corpus.
    online = exp / "hdnn-h32l4_online"
    assert not (online / "cmvn_opts").read_text().strip()
    assert (online / "feat_opts").read_text().startswith("--type=fbank --dither=0 --htk-compat=true --num-mel-bins=40")
    chosen = best(read_wer_files(online / "decode_dev"))
    card = (online / "export/README.md").read_text()
    assert f"{chosen.wer:.2f} % on the development set" in card
    wers = {m[1]: float(m[2]) for m in re.finditer(r"^\| (vosk|onnx|onnx-int8) \| \d+ \| ([0-9.]+) \|", card, re.M)}
    assert wers.keys() == {"vosk", "onnx", "onnx-int8"}
    heard = float(re.search(r"^\| onnx \| (\d+)", card, re.M)[1])  # type: ignore[index]  # None fails the test too
    same = wer_of_first(online / "decode_dev/scoring_kaldi/wer_details/per_utt", int(heard))
    assert abs(wers["onnx"] - same) < 2
    assert abs(wers["onnx-int8"] - same) < 4
    assert -12 < wers["vosk"] - same < 6  # its own beams and scale, which such a poor model may gain by
    # A stage can be repeated, and what is there is not regenerated.
    trained = (exp / "hdnn-h32l4_kd_smbrteacher/final.safetensors").stat().st_mtime_ns
    again = recipe(folder, *QUICK, *SMBR_TEACHER, "--stage", "13", "--stop-stage", "13")
    assert again.returncode == 0
    assert rows[0] in again.stdout
    assert (exp / "hdnn-h32l4_kd_smbrteacher/final.safetensors").stat().st_mtime_ns == trained
    # A missing input stops the stage with a status and a line that says where to go on.
    (folder / "data/mini_mono/fbank/dev/feats.scp").unlink()
    broken = recipe(folder, *QUICK, "--stage", "12", "--stop-stage", "12")
    assert broken.returncode != 0
    assert "feats.scp" in broken.stderr
    assert "stage 12" in broken.stderr


@pytest.mark.slow
def test_adapted_features_without_kaldi(folder: Path) -> None:
    """GMMs to SAT and fMLLR features by our own steps."""
    pytest.importorskip("vosk")
    options = ["--smbr", "", "--max-active", "500", "--gmm-wer", "mono tri3a"]
    done = recipe(folder, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    exp = folder / "exp/mini"
    lines = (exp / "wer.md").read_text().splitlines()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in lines[:6]]
    assert [row[0] for row in rows[2:]] == ["dnn-h64l2", "hdnn-h32l4_kd", "hdnn-h32l4_kd_adapt", "hdnn-h32l4_online"]
    wers = [float(cell) for row in rows[2:] for cell in row[-2:]]
    assert 0 < wers.pop() < 100  # of the student on plain features, on eval: hardly a word
    gmms = [line.split() for line in lines[6:]]
    assert [line[-1].split("/")[2] for line in gmms] == ["mono", "mono", "tri3a", "tri3a", "tri4a", "tri4a"]
    wers += [float(line[1]) for line in gmms]
    assert all(0 < wer < 85 for wer in wers)
    # The student for devices reads plain log-mel features, and has learnt from a teacher on adapted ones.
    assert not (exp / "hdnn-h32l4_online/cmvn_opts").read_text().strip()
    assert (exp / "hdnn-h32l4_online/feat_opts").read_text().startswith("--type=fbank")
    assert "| onnx-int8 |" in (exp / "hdnn-h32l4_online/export/README.md").read_text()
    # Decoded as one more set, eval's recordings have eval's error rates.
    models = [f"exp/mini/{name}" for name in ("hdnn-h32l4_kd", "hdnn-h32l4_online")]
    words = ["local/test_set.sh", "--nj", "2", "--adapt", "true", "--prepare-opts", "--texts as-is"]
    words += ["data/mini/ihm/eval", "data/mini", "exp/mini", "more", *models]
    more = subprocess.run(words, cwd=folder, env=without_kaldi(), capture_output=True, text=True, check=False)
    assert more.returncode == 0, more.stderr[-3000:]
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in more.stdout.splitlines()[-3:]]
    assert [[row[0], row[-1]] for row in table] == [[row[0], row[-1]] for row in rows[3:]]
    again = recipe(folder, *options, "--stage", "4", "--stop-stage", "4")
    assert again.returncode == 0, again.stderr[-3000:]
    assert "exp/mini/tri4a_ali is up to date" in again.stderr


def test_a_set_for_models_beside_no_decode_conf(folder: Path) -> None:
    """Without the options of dev's decoding a further set is refused before any work; with them it goes on."""
    data, exp = folder / "data/x", folder / "exp/x"
    model = exp / "kd/net"
    for path in (data / "conf/mfcc.conf", exp / "tri4a/graph/HCLG.fst", exp / "tri4a/final.mdl", model / "model.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def refused(*options: str) -> str:
        words = ["local/test_set.sh", *options, "gone", "data/x", "exp/x", "more", "exp/x/kd/net"]
        done = subprocess.run(words, cwd=folder, env=without_kaldi(), capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr.splitlines()[-1]

    assert "decode_dev/scoring_kaldi/wer_details/lmwt does not exist; decode dev first" in refused()
    weight = model / "decode_dev/scoring_kaldi/wer_details/lmwt"
    weight.parent.mkdir(parents=True)
    weight.write_text("9\n")
    assert "exp/x/kd/decode.conf does not exist; give the options" in refused()
    assert "gone does not exist; give a set of recordings" in refused("--decode-opts", "--beam 11.0")


@pytest.mark.slow
def test_own_recordings(folder: Path) -> None:
    """The defaults of --corpus own: copies of other speeds, sMBR of teacher and distilled students, adaptation of one."""
    pytest.importorskip("kaldi_hmm_gmm")
    corpus = recipe(folder, "--stop-stage", "1")
    assert corpus.returncode == 0, corpus.stderr[-3000:]
    options = ["--corpus", "own", "--data", str(folder / "data/mini/ihm"), "--name", "mine", "--smbr", ""]
    done = recipe(folder, *options, "--gmm", "mono", "--max-active", "500")
    assert done.returncode == 0, done.stderr[-3000:]
    exp = folder / "exp/mine_mono"
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in (exp / "wer.md").read_text().splitlines()]
    chain = [
        "hdnn-h32l4_kd",
        "dnn-h64l2_smbr",
        "hdnn-h32l4_kd_smbr",
        "hdnn-h32l4_kd_smbr_adapt",
        "hdnn-h32l4_online",
        "hdnn-h32l4_online_smbr",
    ]
    assert [row[0] for row in rows[2:9]] == ["dnn-h64l2", *chain]
    originals = read_scp(folder / "data/mine_mono/fbank/train/utt2spk")
    taught = json.loads((exp / "soft_dnn-h64l2_smbr/info.json").read_text())["utterances"]
    assert taught == 3 * len(originals)
    log = (exp / "hdnn-h32l4_online/log/train.log").read_text()  # what devices hear has one speed
    taught_online = len(read_scp(folder / "data/mine_mono/fbank/train_tr90/utt2spk"))
    assert taught_online < len(originals)
    assert f"{taught_online} of {taught_online}" in log
    device = exp / "hdnn-h32l4_online_smbr"
    assert (device / "export/README.md").exists()
    assert (device / "criterion").read_text() == "KD q=0 T=1 + sMBR p=0.2 (KD)\n"
    assert (device / "feat_opts").read_text().startswith("--type=fbank")
    refused = recipe(folder, *options, "--gmm", "mono", "--adapt", "hdnn-h32l4_online_smbr", "--stage", "11")
    assert refused.returncode == 1
    assert "knows no speaker to adapt to" in refused.stderr


@pytest.mark.slow
def test_teacher_on_features_of_an_encoder(folder: Path) -> None:
    """The teacher alone reads them: the student, on log-mel features, learns and adapts by stored labels."""
    pytest.importorskip("kaldi_hmm_gmm")
    model = tiny("whisper", folder / "encoder")
    options = [*QUICK, "--smbr", "", "--online-networks", "none", "--adapt-labels", "soft", "--max-active", "300"]
    done = recipe(folder, *options, "--ssl-model", str(model), "--ssl-opts", "--layer 1 --pad 1", "--stop-stage", "13")
    assert done.returncode == 0, done.stderr[-3000:]
    data, exp = folder / "data/mini_mono", folder / "exp/mini_mono_ssl"
    teacher = json.loads((exp / "dnn-h64l2_ssl/model.json").read_text())
    assert teacher["network"]["feat_dim"] == DIM
    assert "--frame-factor=2" in (data / "ssl/train/feat_opts").read_text()
    assert "--pad=1" in (exp / "dnn-h64l2_ssl/feat_opts").read_text()
    assert (exp / "hdnn-h32l4_kd/feat_opts").read_text().startswith("--type=fbank")
    for labels, part in (("soft_dnn-h64l2_ssl", "train"), ("soft_dnn-h64l2_ssl_dev", "dev")):
        taught = json.loads((exp / labels / "info.json").read_text())["utterances"]
        assert taught == len(read_scp(data / f"ssl/{part}/utt2spk"))
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in (exp / "wer.md").read_text().splitlines()]
    assert [row[0] for row in rows[2:5]] == ["dnn-h64l2_ssl", "hdnn-h32l4_kd", "hdnn-h32l4_kd_adapt"]


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["speed", "noise"])
def test_networks_on_copies(augment: str, folder: Path) -> None:
    """Teacher and student learn from copies too, and from none of what is held out."""
    pytest.importorskip("kaldi_hmm_gmm")
    options = [*QUICK, "--smbr", "", "--adapt", "none", "--online-networks", "none", "--stop-stage", "8"]
    options += ["--train-opts", "--freq-masks 1 --time-masks 1"]
    done = recipe(folder, *options, "--augment", augment)
    assert done.returncode == 0, done.stderr[-3000:]
    data, exp = folder / "data/mini_mono/fbank", folder / "exp/mini_mono"
    originals = set(read_scp(data / "train/utt2spk"))
    train, cv = (read_scp(data / f"train_{augment}_{part}/utt2uniq") for part in ("tr90", "cv10"))
    assert set(cv) < originals
    assert set(train.values()) == originals - set(cv)
    copies = 3 if augment == "speed" else 2
    assert len(train) == copies * len(set(train.values()))
    assert (exp / f"mono_ali_{augment}").is_dir() == (augment == "speed")
    networks = folder / f"exp/mini_mono_{augment}"
    for name, announced in (("dnn-h64l2", f"{len(train)} of {len(train)}"), ("hdnn-h32l4_kd", "soft labels")):
        assert announced in (networks / name / "log/train.log").read_text()
        assert (networks / name / "final.safetensors").exists()
    taught = json.loads((networks / "soft_dnn-h64l2/info.json").read_text())["utterances"]
    assert taught == (copies * len(originals) if augment == "speed" else len(originals))


@pytest.mark.slow
@pytest.mark.kaldi
def test_on_kaldi_from_nothing_to_a_table(folder: Path, kaldi_root: Path) -> None:
    """GMMs to SAT, fMLLR features, lattices and scores by real Kaldi."""
    if not (kaldi_root / "src/gmmbin/gmm-est-fmllr").exists():
        pytest.skip("Kaldi's gmmbin is not built")
    # Lattices of networks that have learnt so little are dense: none for sMBR, and few hypotheses in decoding.
    options = ["--online-networks", "", "--smbr", "", "--max-active", "500"]
    done = recipe(folder, *options, kaldi_root=kaldi_root)
    assert done.returncode == 0, done.stderr[-3000:]
    exp = folder / "exp/mini_kaldi"
    lines = (exp / "wer.md").read_text().splitlines()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in lines[:5]]
    table = [dict(zip(rows[0], cells, strict=True)) for cells in rows[2:]]
    chain = ["dnn-h64l2", "hdnn-h32l4_kd", "hdnn-h32l4_kd_adapt"]
    assert [row["model"] for row in table] == chain
    gmm = [float(line.split()[1]) for line in lines[5:]]
    assert len(gmm) == 2
    for row in table:
        wers = [float(row["dev WER %"]), float(row["eval WER %"])]
        assert all(0 < wer < 85 for wer in wers)
        if shutil.which("sctk"):  # sclite leaves fillers out: near, not equal
            assert float(row["sclite dev, eval %"].split(",")[0]) == pytest.approx(wers[0], abs=10)
    assert all(0 < wer < 85 for wer in gmm)
    # A GMM that is there is kept.
    made = (exp / "tri4a/final.mdl").stat().st_mtime_ns
    again = recipe(folder, *options, "--stage", "4", "--stop-stage", "4", kaldi_root=kaldi_root)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "exp/mini_kaldi/tri4a_ali is up to date" in again.stderr
    assert (exp / "tri4a/final.mdl").stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--gmm", "tri5"], "--gmm must be one of mono, tri4a, not tri5"),
        (["--gmm", "mono", "--feat-type", "fmllr"], "--feat-type fmllr needs --gmm tri4a"),
        (["--augment", "pitch"], "--augment must be one of none, speed, noise, reverb, not pitch"),
        (["--augment", "speed", "--kaldi-s5-dir", "s5"], "--augment needs features of its own"),
        (["--train-opts", "--freq-masks many"], "--freq-masks"),
        (
            ["--ssl-model", "none", "--kd-networks", ""],
            "--ssl-model is for the teacher, and --kd-networks names no student",
        ),
        (["--ssl-model", "none", "--ssl-opts", "--layer last"], "--layer"),
    ],
)
def test_options_that_do_not_go_together(folder: Path, options: list[str], line: str) -> None:
    done = recipe(folder, *options)
    assert done.returncode == 1
    assert line in done.stderr
    assert not (folder / "corpus").exists()


def test_where_an_earlier_run_broke_off(folder: Path) -> None:
    (folder / "empty").mkdir()
    options = ["--corpus", "own", "--data", "empty", "--preflight", "false"]
    hint = "an earlier run broke off in stage 1 (data directories): --stage 1 goes on there"
    first, second = (recipe(folder, *options) for _ in range(2))
    assert (first.returncode, second.returncode) == (1, 1)
    assert "empty holds no sound file" in first.stderr
    assert hint not in first.stderr
    assert hint in second.stderr
    assert hint not in recipe(folder, *options, "--stage", "1").stderr
    assert "broke off" not in recipe(folder, *options, "--stop-stage", "0", "--name", "other").stderr


def test_a_run_that_ends_early_leaves_later_stages_alone(folder: Path) -> None:
    """Of a corpus with a whole language model, too, whose lattices stage 12 rescores."""
    (folder / "recordings").mkdir()
    (folder / "data/own/lang_whole").mkdir(parents=True)
    options = ["--corpus", "own", "--data", "recordings", "--preflight", "false", "--stop-stage", "0"]
    done = recipe(folder, *options)
    assert done.returncode == 0, done.stderr
    assert "stages 0 to 0 are done" in done.stderr


def test_kaldi_without_kaldi_root_is_refused(folder: Path) -> None:
    done = recipe(folder, "--toolkit", "kaldi")
    assert done.returncode == 1
    assert "--toolkit kaldi needs KALDI_ROOT" in done.stderr


@pytest.mark.parametrize("options", [["--corpus", "timit"], ["--no-such-option", "1"], ["surplus"]])
def test_wrong_options(folder: Path, options: list[str]) -> None:
    done = recipe(folder, *options)
    assert done.returncode == 1
    assert options[-1 if options[0] == "--corpus" else 0] in done.stderr + done.stdout or "usage" in done.stderr


def test_ami_without_a_corpus_says_what_is_missing(folder: Path) -> None:
    done = recipe(folder, "--corpus", "ami")
    assert done.returncode == 1
    assert "--amicorpus" in done.stderr
