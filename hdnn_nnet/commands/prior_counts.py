"""One job of prior estimation: sum a network's posteriors over randomly chosen utterances.

The sums are expected counts of the pdfs, in Kaldi's text form like ali_train_pdf.counts.
"""

from dataclasses import dataclass

from hdnn_nnet.nn.options import ForwardOptions
from hdnn_nnet.options import JobOptions, argument, group, option
from hdnn_nnet.options import Options as Base


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Prior."""

    data_dir: str = argument("data directory with the network's features")
    model_dir: str = argument("network of ours or of Kaldi's nnet1")
    counts: str = argument("file for the sums of this job")
    num_utts: int = option(10000, "utterances of all jobs together, at most", at_least=1)
    seed: int = option(777, "of the choice, which does not depend on --num-jobs", at_least=0)
    job: JobOptions = group(JobOptions, "Job")
    forward: ForwardOptions = group(ForwardOptions)


EXAMPLE = "hdnn prior-counts --num-jobs 4 --job 1 data/train exp/hdnn_smbr exp/hdnn_smbr/prior_counts.1"


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    from hdnn_nnet.kaldi.alignments import write_counts
    from hdnn_nnet.nn.forward import expected_counts, model_features, open_network
    from hdnn_nnet.nn.prior import choose_utterances
    from hdnn_nnet.progress import counted

    log = logging.getLogger(__name__)
    model_dir = Path(options.model_dir)
    reader = model_features(options.data_dir, model_dir)
    model, _ = open_network(options.forward, model_dir, "posteriors")
    part = options.job.part_of(choose_utterances(reader.utts, options.num_utts, options.seed))
    chosen = ((utterance, reader[utterance]) for utterance in counted(part, "utterances", len(part)))
    counts, utterances, frames = expected_counts(model, chosen, options.forward.batch_frames)
    write_counts(options.counts, counts)
    log.info("Done %d utterances, %d frames", utterances, frames)
