"""One job of prior estimation: sum a network's posteriors over randomly chosen utterances.

The sums are expected counts of the pdfs, in Kaldi's text form like ali_train_pdf.counts.
"""

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.bin.forward import add_network_options, forward_all, model_features, open_network
from hdnn_nnet.cli import OptionParser, add_job_options, part_of, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import write_counts

PROGRAM = "hdnn-prior-counts"


def choose(utterances: Sequence[str], number: int, seed: int) -> list[str]:
    """`number` of the utterances (all if there are fewer), drawn without replacement, in their order."""
    if number < 1:
        raise HdnnError(f"--num-utts is {number}; it must be positive")
    if number >= len(utterances):
        return list(utterances)
    places = random.Random(seed).sample(range(len(utterances)), number)
    return [utterances[place] for place in sorted(places)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    add_job_options(parser)
    add_network_options(parser)
    parser.add_argument("--num-utts", type=int, default=10000, help="utterances of all jobs together, at most")
    parser.add_argument("--seed", type=int, default=777, help="of the choice, which does not depend on --num-jobs")
    parser.add_argument("data_dir")
    parser.add_argument("model_dir", help="network of ours or of Kaldi's nnet1")
    parser.add_argument("counts", help="file for the sums of this job")
    args = parser.parse_args(argv)
    model_dir = Path(args.model_dir)
    reader = model_features(args.data_dir, model_dir)
    model, _ = open_network(args, model_dir, "posteriors")
    features = ((u, reader[u]) for u in part_of(choose(reader.utts, args.num_utts, args.seed), args))
    sums = np.zeros(model.num_pdfs)
    utterances = frames = 0
    for _, posteriors in forward_all(model, features, "posteriors", None, args.batch_frames):
        sums += posteriors.sum(0, dtype=np.float64)
        utterances += 1
        frames += len(posteriors)
    write_counts(args.counts, sums)
    logging.info("Done %d utterances, %d frames", utterances, frames)
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
