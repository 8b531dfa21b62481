"""Adapt parameters of a network to the speakers of a data directory, one after the other (Lu, Guo, Renals 2017, section 4).

Writes a file for every adapted speaker, and `part.JOB.json` with what became of each; bin/collect_adapt.py makes the index.
"""

import json
import logging
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdnn_nnet.adapt.labels import KINDS, HardLabels, Labels, SoftTargets, Supervised
from hdnn_nnet.adapt.loop import AdaptOptions, adapt_speaker
from hdnn_nnet.adapt.speaker import read_speaker
from hdnn_nnet.adapt.store import save_speaker
from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_counts
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.posteriors import PosteriorTable
from hdnn_nnet.model_dir import load_model, model_signature, read_option_file
from hdnn_nnet.precision import PRECISIONS, choose_device, choose_dtype
from hdnn_nnet.train.loop import choose_parameters
from hdnn_nnet.train.soft_sources import OnTheFly, Stored, open_source
from hdnn_nnet.train.task import FeatureSource

log = logging.getLogger(__name__)
PROGRAM = "hdnn-adapt"
#: options that the index tells
_RECORDED = (
    "iters", "rate", "minibatch_size", "momentum", "held_out", "guard", "early_stop", "seed", "min_frames", "min_confidence",
    "weight_frames", "skip_unseen", "temperature", "keep_mass", "weights", "precision",
)  # fmt: skip


def parser() -> OptionParser:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument("--labels", choices=KINDS, default="hard", help="what <source> is")
    options.add_argument(
        "--update", default="gates", help="parameter groups that move: gates, hidden, softmax (with commas), or all"
    )
    options.add_argument("--iters", type=int, default=5, help="passes over a speaker's frames")
    options.add_argument("--rate", type=float, default=2e-4, help="learning rate per frame")
    options.add_argument("--minibatch-size", type=int, default=256, help="frames of an update")
    options.add_argument(
        "--momentum", type=float, default=0.0, help="of the updates; the rate is scaled by 1 - momentum"
    )
    options.add_argument("--held-out", type=float, default=0.1, help="share of a speaker's frames that is held back")
    options.add_bool("--guard", True, "keep the independent network where the held-back loss rises")
    options.add_bool("--early-stop", False, "take the pass with the lowest held-back loss")
    options.add_argument("--min-frames", type=int, default=100, help="speakers with fewer are not adapted")
    options.add_argument("--min-confidence", type=float, default=0.0, help="hard: leave out frames below")
    options.add_bool("--weight-frames", False, "hard: weight frames by confidence")
    options.add_bool("--skip-unseen", True, "hard, supervised: leave out frames of pdfs that training has not seen")
    options.add_argument("--temperature", type=float, default=1.0, help="soft: T of teacher and student")
    options.add_argument("--keep-mass", type=float, default=0.999, help="soft: share kept of a frame's posteriors")
    options.add_argument(
        "--teacher-data", default="", help="soft: data directory with the teacher's features, if others"
    )
    options.add_argument("--weights", default="final.safetensors", help="weights file in model_dir")
    options.add_argument("--seed", type=int, default=777, help="of the order of frames and of what is held back")
    options.add_argument("--num-threads", type=int, default=1, help="CPU threads; 0: torch's choice")
    options.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    options.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the matrix products")
    options.add_argument("--job", type=int, default=1, help="number in the name of part.JOB.json")
    options.add_argument("data_dir", help="data directory (its CMVN and deltas as in training)")
    options.add_argument("model_dir", help="directory of the speaker-independent network")
    options.add_argument(
        "source",
        help="hard: post.scp of best paths; soft: teachers, stored soft labels or a table; supervised: alignments",
    )
    options.add_argument("dir", help="directory of adapted parameters to write")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.iters < 1 or args.minibatch_size < 1 or args.rate <= 0 or not 0 <= args.momentum < 1:
        raise HdnnError("--iters and --minibatch-size must be at least 1, --rate above 0, --momentum from 0 to below 1")
    if not 0 <= args.held_out < 1 or args.temperature <= 0 or not 0 < args.keep_mass <= 1:
        raise HdnnError(
            "--held-out must be from 0 to below 1, --temperature above 0, --keep-mass above 0 and at most 1"
        )
    if args.early_stop and not args.held_out:
        raise HdnnError("--early-stop needs frames to judge by; give --held-out above 0")
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    device = choose_device(args.device)
    model_dir, folder = Path(args.model_dir), Path(args.dir)
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(model_dir, args.weights).to(device)
    model.compute_dtype = choose_dtype(args.precision, device)
    signature = model_signature(model)
    moving = {id(p) for p in choose_parameters(model, args.update.split(","))}
    parameters = {name: p for name, p in model.named_parameters() if id(p) in moving}
    base = {name: p.detach().clone() for name, p in parameters.items()}

    cmvn_opts, delta_opts = (read_option_file(model_dir / name) for name in ("cmvn_opts", "delta_opts"))
    features = FeatureSource([args.data_dir], cmvn_opts, delta_opts)
    if features.dim != model.feat_dim:
        raise HdnnError(f"{args.data_dir} has {features.dim} features a frame, {model_dir} takes {model.feat_dim}")
    labels = open_labels(args, model.num_pdfs, device)
    options = AdaptOptions(
        args.rate,
        args.iters,
        args.minibatch_size,
        args.momentum,
        args.guard,
        args.early_stop,
        args.min_frames,
        args.seed,
    )

    results: dict[str, dict[str, Any]] = {}
    for speaker, utts in DataDir(args.data_dir).spk2utts.items():
        started = time.monotonic()
        known = [utt for utt in utts if utt in features]
        data = read_speaker(speaker, known, features.__getitem__, labels, model, args.held_out, args.seed)
        outcome = adapt_speaker(model, parameters, base, labels.criterion, speaker, data, options)
        entry: dict[str, Any] = {}
        if outcome.tensors is not None:
            entry["file"] = save_speaker(folder, speaker, outcome.tensors, signature)
            entry["iteration"] = outcome.iteration
        else:
            entry["reason"] = outcome.reason
        entry |= {"utterances": data.utterances, "frames": len(data.train), "held_frames": len(data.held)}
        entry |= {"skipped": dict(data.skipped), "train_loss": outcome.train_loss, "held_loss": outcome.held_loss}
        entry["seconds"] = round(time.monotonic() - started, 3)
        results[speaker] = entry
        log.info("speaker %s: %s", speaker, _summary(entry))
    shared = {
        "model": str(model_dir),
        "network": model.name,
        "signature": signature,
        "labels": labels.description,
        "update": args.update,
        "parameters": int(np.sum([p.numel() for p in parameters.values()])),
        "options": {name: getattr(args, name) for name in _RECORDED},
    }
    write_text(folder / f"part.{args.job}.json", json.dumps(shared | {"speakers": results}, indent=1) + "\n")
    adapted = sum("file" in entry for entry in results.values())
    seconds = sum(entry["seconds"] for entry in results.values())
    frames = sum(entry["frames"] for entry in results.values())
    log.info("Done %d speakers, %d adapted, %d frames in %.1f s", len(results), adapted, frames, seconds)
    return 0


def _summary(entry: dict[str, Any]) -> str:
    text = f"{entry['frames']} + {entry['held_frames']} frames of {entry['utterances']} utterances"
    if entry["train_loss"]:
        text += f", training loss {entry['train_loss'][0]:.4f} to {entry['train_loss'][-1]:.4f}"
    if entry["held_loss"]:
        text += f", held-back loss {entry['held_loss'][0]:.4f} to {entry['held_loss'][-1]:.4f}"
    return text + (f"; not adapted: {entry['reason']}" if "reason" in entry else "")


def seen_pdfs(model_dir: Path, num_pdfs: int) -> np.ndarray:
    """(num_pdfs,) bool: which pdfs the training alignment has; all where the model directory does not tell.

    The log-likelihood of a pdf without training frames contains a huge -log prior, which only its small posterior holds down.
    A few frames of it (an out-of-vocabulary word in a true transcript) would teach the softmax layer to give it to everything.
    """
    path = model_dir / "ali_train_pdf.counts"
    if not path.is_file():
        return np.ones(num_pdfs, bool)
    counts = read_counts(path)
    if len(counts) != num_pdfs:
        raise HdnnError(
            f"{path} has {len(counts)} pdfs but the network has {num_pdfs}; take the counts of its alignment"
        )
    return counts >= 1  # analyze-counts and our training add half a frame to each


def open_labels(args: Namespace, num_pdfs: int, device: torch.device) -> Labels:
    """The labels that the command line names."""
    usable = seen_pdfs(Path(args.model_dir), num_pdfs) if args.skip_unseen else None
    if args.labels == "hard":
        return HardLabels(PosteriorTable(args.source), num_pdfs, args.min_confidence, args.weight_frames, usable)
    if args.labels == "supervised":
        return Supervised(args.source, num_pdfs, usable)
    data = [args.teacher_data or args.data_dir]
    source = open_source(args.source, data, num_pdfs, args.temperature, args.keep_mass, device, args.precision)
    assert isinstance(source, OnTheFly | Stored)
    return SoftTargets(source, args.temperature, args.keep_mass)


if __name__ == "__main__":
    run(main, PROGRAM)
