"""One job of adaptation from its options to the files of its speakers."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdnn_nnet.adapt.labels import HardLabels, Labels, SoftTargets, Supervised
from hdnn_nnet.adapt.loop import adapt_speaker
from hdnn_nnet.adapt.options import Adaptation
from hdnn_nnet.adapt.speaker import read_speaker
from hdnn_nnet.adapt.store import save_speaker
from hdnn_nnet.atomic import write_text
from hdnn_nnet.device.precision import choose_device, choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.accounting import Accounting
from hdnn_nnet.kaldi.alignments import read_counts
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.posteriors import PosteriorTable
from hdnn_nnet.nn.model_dir import load_model, model_signature, read_option_file, require_frame_rate
from hdnn_nnet.nn.networks import choose_parameters
from hdnn_nnet.options import flatten
from hdnn_nnet.progress import counted
from hdnn_nnet.train.soft_sources import open_source

log = logging.getLogger(__name__)
#: options that the index tells
_RECORDED = (
    "iters", "rate", "minibatch_size", "momentum", "held_out", "guard", "early_stop", "seed", "min_frames", "min_confidence",
    "weight_frames", "skip_unseen", "temperature", "keep_mass", "weights", "precision",
)  # fmt: skip


def adapt(options: Adaptation) -> None:
    """Adapt to every speaker of a data directory.

    Raises:
        HdnnError: missing or unreadable input, or files that do not belong together.
    """
    if options.compute.num_threads:
        torch.set_num_threads(options.compute.num_threads)
    device = choose_device(options.compute.device)
    model_dir, folder = Path(options.model_dir), Path(options.dir)
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(model_dir, options.weights).to(device)
    model.compute_dtype = choose_dtype(options.compute.precision, device)
    signature = model_signature(model)
    moving = {id(p) for p in choose_parameters(model, options.update)}
    parameters = {name: p for name, p in model.named_parameters() if id(p) in moving}
    base = {name: p.detach().clone() for name, p in parameters.items()}

    cmvn_opts, delta_opts = (read_option_file(model_dir / name) for name in ("cmvn_opts", "delta_opts"))
    features = FeatureSource([options.data_dir], cmvn_opts, delta_opts, model_dir)
    require_frame_rate(model_dir, features.readers[0])
    if features.dim != model.feat_dim:
        raise HdnnError(f"{options.data_dir} has {features.dim} features a frame, {model_dir} takes {model.feat_dim}")
    labels = open_labels(options, model.num_pdfs, device)
    labels.meet(features)

    account = Accounting(options.data_dir, features.readers[0].announced)
    account.require("without features", features.readers[0].utts)
    account.close(options.max_missing, "extract the missing features, or run fix_data_dir.sh")
    results: dict[str, dict[str, Any]] = {}
    updates = options.updates
    speakers = DataDir(options.data_dir).spk2utts
    for speaker, utts in counted(speakers.items(), "speakers", len(speakers)):
        started = time.monotonic()
        known = [utt for utt in utts if utt in features]
        data = read_speaker(speaker, known, features.__getitem__, labels, model, updates.held_out, updates.seed)
        for reason, lost in data.skipped.items():
            account.leave_out(reason, lost)
        outcome = adapt_speaker(model, parameters, base, labels.criterion, speaker, data, updates)
        entry: dict[str, Any] = {}
        if outcome.tensors is not None:
            entry["file"] = save_speaker(folder, speaker, outcome.tensors, signature)
            entry["iteration"] = outcome.iteration
        else:
            entry["reason"] = outcome.reason
        entry |= {"utterances": data.utterances, "frames": len(data.train), "held_frames": len(data.held)}
        entry["skipped"] = {reason: len(lost) for reason, lost in data.skipped.items()}
        entry |= {"train_loss": outcome.train_loss, "held_loss": outcome.held_loss}
        entry["seconds"] = round(time.monotonic() - started, 3)
        results[speaker] = entry
        log.info("speaker %s: %s", speaker, _summary(entry))
    if account.lost:  # no error: where nothing was recognised there is nothing to adapt to
        log.warning("%s", account)
    every = flatten(options)
    shared = {
        "model": str(model_dir),
        "network": model.name,
        "signature": signature,
        "labels": labels.description,
        "update": ",".join(options.update),
        "parameters": int(np.sum([p.numel() for p in parameters.values()])),
        "options": {name: every[name] for name in _RECORDED},
    }
    write_text(folder / f"part.{options.job}.json", json.dumps(shared | {"speakers": results}, indent=1) + "\n")
    adapted = sum("file" in entry for entry in results.values())
    seconds = sum(entry["seconds"] for entry in results.values())
    frames = sum(entry["frames"] for entry in results.values())
    log.info("Done %d speakers, %d adapted, %d frames in %.1f s", len(results), adapted, frames, seconds)


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


def open_labels(options: Adaptation, num_pdfs: int, device: torch.device) -> Labels:
    """The labels that the options name."""
    chosen = options.labels
    usable = seen_pdfs(Path(options.model_dir), num_pdfs) if chosen.skip_unseen else None
    if chosen.labels == "hard":
        table = PosteriorTable(options.source)
        return HardLabels(table, num_pdfs, chosen.min_confidence, chosen.weight_frames, usable)
    if chosen.labels == "supervised":
        return Supervised(options.source, num_pdfs, usable)
    source = open_source(options.source, [options.data_dir], num_pdfs, chosen.soft, device, options.compute.precision)
    return SoftTargets(source)
