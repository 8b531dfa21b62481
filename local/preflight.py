#!/usr/bin/env python3
"""Look for what a run will lack before it starts: one line for each gap, with what mends it.

Looked at are Python's packages, Kaldi's programs, free disk space, the GPU, the queue, the corpus and its annotations,
and the speech encoder.
A gap that would end the run makes the status 1; what only slows it down is a warning.
"""

import importlib.util
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.cli import script
from hdnn_nnet.device.gaps import Gap
from hdnn_nnet.device.gpu_code import gpu_code_gaps, listed_gpus
from hdnn_nnet.device.kaldi_programs import kaldi_gaps
from hdnn_nnet.device.packages import package_gaps
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.encoder_files import EncoderFiles
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option

log = logging.getLogger(__name__)

PROGRAM = "preflight.py"

QUEUES = {"queue.pl": ("qsub", "qstat"), "slurm.pl": ("sbatch", "squeue"), "pbs.pl": ("qsub",)}
#: Gigabytes of features, alignments, soft labels and lattices of one run.
DISK = {"mini": 1.5, "ami": 120.0, "own": 3.0}
#: The AMI sets in meetings of the full-corpus-asr partition that have headset recordings.
AMI_MEETINGS = {"audio": 170, "annotations": 171}


def disk_gaps(folder: Path, needed: float) -> Iterator[Gap]:
    """Too little room where the run writes; `needed` in gigabytes."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < needed:
        remedy = f"free {needed - free:.0f} GB, or make {folder}/data and {folder}/exp links to a larger disk"
        yield Gap(f"{free:.1f} GB free in {folder}, about {needed:g} GB needed", remedy)


def gpu_gaps(device: str, commands: Sequence[str], corpus: str) -> Iterator[Gap]:
    """Training on this machine's CPU where that would take weeks, or a GPU asked for and not there."""
    words = shlex.split(commands[-1]) if commands else []
    if device == "cpu" or (words and words[0] in QUEUES):
        return  # queued jobs see other machines
    if listed_gpus():
        yield from gpu_code_gaps(device != "auto")
    elif device != "auto":
        yield Gap(f"--device {device}, but this machine shows no GPU", "leave --device out, or set cuda_cmd to a queue")
    elif corpus == "ami":
        yield Gap("no GPU here: training on AMI's 29 million frames takes weeks",
                  'cuda_cmd="queue.pl --gpu 1" (cmd.sh), or a machine with a GPU', False)  # fmt: skip


def queue_gaps(commands: Sequence[str]) -> Iterator[Gap]:
    """Launchers of cmd.sh that are not there, or whose scheduler does not answer."""
    for command in sorted(set(commands)):
        words = shlex.split(command)
        launcher = Path(words[0]).name if words else ""
        if not words or shutil.which(words[0]) is None:
            yield Gap(
                f"launcher '{command}' is not on PATH", "run.py needs nothing; Kaldi's ones need KALDI_ROOT (cmd.sh)"
            )
            continue
        for program in QUEUES.get(launcher, ()):
            if shutil.which(program) is None:
                yield Gap(f"{launcher} needs {program}", "run on a submit host of the cluster, or take run.py (cmd.sh)")
                break
        else:
            if launcher in QUEUES:
                status = QUEUES[launcher][-1]
                answer = subprocess.run([status], capture_output=True, text=True, check=False)
                if answer.returncode:
                    line = (answer.stderr.strip().splitlines() or ["no answer"])[-1]
                    yield Gap(f"{status} fails: {line}", "start the scheduler, or ask the cluster's keepers")


def corpus_gaps(corpus: str, audio: str, annotations: str, own: str = "") -> Iterator[Gap]:
    """Recordings or annotations that are not where the options say."""
    if corpus == "own":
        if not Path(own or "/nowhere").is_dir():
            yield Gap(f"--data '{own}' is no directory", "give the directory of your recordings, see docs/your-data.md")
        return
    if corpus == "mini":
        if importlib.util.find_spec("espeakng_loader") is None:
            yield Gap("the speech synthesiser espeakng-loader is not installed", "make env")
        return
    home = "https://groups.inf.ed.ac.uk/ami/download"
    recordings = {p.name.split(".")[0] for p in Path(audio).glob("*/audio/*.Headset-*.wav")} if audio else set()
    if not recordings:
        yield Gap(f"--amicorpus '{audio}' holds no <meeting>/audio/<meeting>.Headset-N.wav",
                  f"fetch the headset recordings (individual headsets, 16 kHz) from {home}")  # fmt: skip
    elif len(recordings) < AMI_MEETINGS["audio"]:
        yield Gap(f"{len(recordings)} of AMI's {AMI_MEETINGS['audio']} meetings in {audio}; the others are left out",
                  f"fetch the rest from {home}", False)  # fmt: skip
    words = Path(annotations) / "words"
    known = {p.name.split(".")[0] for p in words.glob("*.words.xml")} if annotations else set()
    if not known:
        yield Gap(f"--annotations '{annotations}' holds no words/*.words.xml",
                  f"unpack ami_public_manual_1.6.2.zip of {home} and give its directory")  # fmt: skip
    elif lost := sorted(recordings - known):
        yield Gap(
            f"{len(lost)} recorded meetings have no annotation ({lost[0]} ...)",
            "take release 1.6.2 of the annotations",
            False,
        )


def s5_gaps(folder: str) -> Iterator[Gap]:
    """A Kaldi recipe that has not been run far enough."""
    for name in ("data/ihm/train/feats.scp", "exp/ihm/tri4a/final.mdl", "exp/ihm/tri4a_ali/ali.1.gz"):
        if not (Path(folder) / name).is_file():
            yield Gap(f"{folder}/{name} does not exist", f"(cd {folder} && ./run_ihm.sh), up to its stage 8")
            return


def encoder_gaps(folder: str) -> Iterator[Gap]:
    """A speech encoder, or the package that reads it, is missing or damaged."""
    try:
        EncoderFiles.open(folder).checksum()
    except HdnnError as error:
        what, _, remedy = str(error).replace("--model ", "--ssl-model ").partition("; ")  # as run.sh calls it
        yield Gap(what, remedy or "give --ssl-model another folder")


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """What will be run, as of run.sh."""

    corpus: str = option("mini", "what will be run", choices=("mini", "ami", "own"))
    toolkit: str = option("python", "as of run.sh", choices=("python", "kaldi"))
    amicorpus: str = option("", "as of run.sh")
    annotations: str = option("", "as of run.sh")
    recordings: str = option("", "--data of run.sh")
    kaldi_s5_dir: str = option("", "as of run.sh")
    ssl_model: str = option("", "as of run.sh")
    device: str = option("auto", "as of run.sh")
    cmd: tuple[str, ...] = option((), "a launcher; the last one is that of training", nargs="*")


def main(options: Options) -> int:
    gaps = [
        *package_gaps(options.toolkit),
        *queue_gaps(options.cmd),
        *gpu_gaps(options.device, options.cmd, options.corpus),
    ]
    gaps += disk_gaps(Path.cwd(), DISK[options.corpus])
    if options.toolkit == "kaldi":
        gaps += kaldi_gaps(os.environ.get("KALDI_ROOT", ""))
    if options.ssl_model:
        gaps += encoder_gaps(options.ssl_model)
    if options.kaldi_s5_dir:
        gaps += s5_gaps(options.kaldi_s5_dir)
    else:
        gaps += corpus_gaps(options.corpus, options.amicorpus, options.annotations, options.recordings)
    for gap in gaps:
        print(f"{PROGRAM}: {'missing' if gap.fatal else 'warning'}: {gap.what}; {gap.remedy}", file=sys.stderr)
    fatal = sum(gap.fatal for gap in gaps)
    if fatal == 0:
        log.info("ready (%d warnings)", len(gaps))
    return int(fatal > 0)


if __name__ == "__main__":
    script(Options, main, PROGRAM, __doc__ or "")
