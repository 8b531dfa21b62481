"""Forward teachers over a data directory and write their most probable pdfs as a table of Kaldi's Posterior type."""

import json
import logging
import time
from collections.abc import Sequence

import numpy as np
import torch

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.posteriors import PosteriorWriter
from hdnn_nnet.precision import add_forward_precision, choose_device
from hdnn_nnet.train.soft_labels import sparsify
from hdnn_nnet.train.teacher import Teachers

log = logging.getLogger(__name__)
PROGRAM = "hdnn-soft-labels"


def parser() -> OptionParser:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument("teacher", help="model directory of ours or of Kaldi's nnet1; several in quotes are averaged")
    options.add_argument("data", help="data directory with the teachers' features")
    options.add_argument("wspecifier", help="where the posteriors go, for example ark,scp:post.1.ark,post.1.scp")
    options.add_argument("--mass", type=float, default=0.99, help="share of each frame's posterior that is kept")
    options.add_argument(
        "--temperature", type=float, default=1.0, help="highest temperature that the labels must serve"
    )
    options.add_argument("--stats", default="", help="file for sizes and masses, as JSON")
    options.add_argument("--num-threads", type=int, default=1, help="CPU threads; 0: torch's choice")
    options.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    add_forward_precision(options)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if not 0 < args.mass <= 1 or args.temperature < 1:
        raise HdnnError("--mass must be above 0 and at most 1, --temperature at least 1")
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    device = choose_device(args.device)
    teachers = Teachers(args.teacher.split(), [args.data], device, args.precision)
    lengths = teachers.num_frames()
    entries = 0
    masses: list[np.ndarray] = []
    started = time.monotonic()
    with PosteriorWriter(args.wspecifier) as writer:
        for utt in lengths:
            log_posteriors = teachers.of_utterance(utt).cpu()
            if not torch.isfinite(log_posteriors).all():
                raise HdnnError(f"a teacher gives NaN or infinity for utterance {utt}")
            posteriors, kept = sparsify(log_posteriors, args.mass, args.temperature)
            writer.write_posteriors(utt, posteriors)
            entries += len(posteriors.pdfs)
            masses.append(kept.numpy())
    if not masses:
        raise HdnnError(f"{args.data} holds no utterances with features for every teacher")
    mass = np.concatenate(masses)
    stats = {
        "utterances": len(masses),
        "frames": len(mass),
        "entries": entries,
        "mass_sum": float(mass.sum()),
        "mass_min": float(mass.min()),
        "num_pdfs": teachers.num_pdfs,
        "mass": args.mass,
        "temperature": args.temperature,
        "teachers": {str(d): c for d, c in zip(teachers.directories, teachers.signature(), strict=True)},
    }
    if args.stats:
        write_text(args.stats, json.dumps(stats, indent=1) + "\n")
    seconds = time.monotonic() - started
    log.info(
        "Done %d utterances, %d frames in %.1f s (%.0f frames/s); %.1f pdfs a frame hold a mass of %.4f",
        len(masses), len(mass), seconds, len(mass) / seconds, entries / len(mass), mass.mean(),
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
