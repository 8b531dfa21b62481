"""A directory to run steps in: data, lang and networks from the files that Kaldi wrote, with absolute paths."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import build_network

REPOSITORY = Path(__file__).resolve().parents[2]


def copy_data(fixture: Path, target: Path, part: str, utterances: int | None = None) -> Path:
    """A data directory, or the first utterances of it; the archives stay where they are."""
    target.mkdir(parents=True)
    for name in ("feats.scp", "cmvn.scp", "text", "utt2spk"):
        lines = (fixture / "data" / part / name).read_text().splitlines()
        if name.endswith(".scp"):
            lines = [f"{key} {fixture}/{place}" for key, place in (line.split(" ", 1) for line in lines)]
        kept = lines if name == "cmvn.scp" else lines[:utterances]
        (target / name).write_text("".join(f"{line}\n" for line in kept))
    return target


def make(fixture: Path, folder: Path) -> Path:
    """data/train, lang, exp/nnet1 (Kaldi's network) and exp/hdnn (one of ours, not trained) in `folder`."""
    copy_data(fixture, folder / "data/train", "train")
    shutil.copytree(fixture / "lang", folder / "lang", copy_function=shutil.copyfile)
    for path in [folder / "lang", *(folder / "lang").rglob("*")]:
        path.chmod(0o755)
    for kind in ("nnet1", "hdnn"):
        model = folder / "exp" / kind
        model.mkdir(parents=True)
        for name in ("final.mdl", "tree", "phones.txt"):
            shutil.copyfile(fixture / "exp/tri" / name, model / name)
        shutil.copyfile(fixture / "exp/nnet/class_frame_counts", model / "ali_train_pdf.counts")
        shutil.copyfile(fixture / "exp/nnet/cmvn_opts", model / "cmvn_opts")
    for name in ("final.nnet", "final.feature_transform"):
        shutil.copyfile(fixture / "exp/nnet" / name, folder / "exp/nnet1" / name)
    torch.manual_seed(3)
    save_model(build_network(NetworkConfig("hdnn", 13, 40, 8, 2, 1, 1)), folder / "exp/hdnn")
    return folder


def kaldi_program(kaldi_root: Path, name: str) -> Path:
    """A program of Kaldi's src/bin; the test is skipped where it is not built or does not start."""
    program = kaldi_root / "src/bin" / name
    if not program.exists():
        pytest.skip(f"{name} is not built")
    if b"Usage" not in subprocess.run([program], capture_output=True, check=False).stderr:
        pytest.skip(f"{program} does not start (are its libraries complete?)")
    return program


def step(folder: Path, name: str, *words: str, programs: str = "") -> subprocess.CompletedProcess[str]:
    """Run steps_py/`name` in `folder`; `programs` is a directory of programs to put on PATH."""
    begin = f'. {REPOSITORY}/path.sh && exec "$@"'
    command = ["bash", "-c", begin, "bash", str(REPOSITORY / "steps_py" / name), *words]
    environment = {key: value for key, value in os.environ.items() if key != "KALDI_ROOT"}
    if programs:
        environment["PATH"] = f"{programs}:{environment['PATH']}"
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
