"""Loss and frame accuracy of a network on data and an alignment (nnet-train-frmshuff --cross-validate=true).

The loss is cross-entropy in nats a frame. Posteriors that are surer than they are right have a loss above their entropy.
"""

from dataclasses import dataclass

from hdnn_nnet.nn.options import ForwardOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Alignment."""

    model_dir: str = argument("network of ours or of Kaldi's nnet1")
    data_dir: str = argument("data directory with the network's features")
    ali_dir: str = argument("alignment directory of the same states")
    silence_phones: tuple[int, ...] = option(
        (), "ids with colons (phones/silence.csl); one more line without their frames", at_least=1, metavar="ID:ID:..."
    )
    forward: ForwardOptions = group(ForwardOptions)


EXAMPLE = "hdnn cross-validate --silence-phones 1:2:3 exp/hdnn data/dev exp/hdnn_ali_dev"


def main(options: Options) -> None:
    from pathlib import Path

    import numpy as np

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.alignments import read_pdf_alignments
    from hdnn_nnet.kaldi.transitions import TransitionModel
    from hdnn_nnet.nn.forward import forward_all, model_features, open_network
    from hdnn_nnet.nn.frame_scores import FrameScores
    from hdnn_nnet.progress import counted
    from hdnn_nnet.train.dataset import usable_utterances

    model_dir, batch_frames = Path(options.model_dir), options.forward.batch_frames
    transitions = TransitionModel.read(Path(options.ali_dir) / "final.mdl")
    alignments = read_pdf_alignments(options.ali_dir, transitions)
    reader = model_features(options.data_dir, model_dir)
    used = usable_utterances(reader, alignments.lengths(), options.ali_dir)
    model, _ = open_network(options.forward, model_dir, "logposteriors")
    if model.num_pdfs != transitions.num_pdfs:
        raise HdnnError(
            f"{model_dir} has {model.num_pdfs} pdfs, {options.ali_dir}/final.mdl {transitions.num_pdfs}; take an alignment "
            "of the states that the network was trained on"
        )
    silent = np.zeros(model.num_pdfs, bool)
    silent[transitions.tid_to_pdf[1:][np.isin(transitions.tid_to_phone[1:], options.silence_phones)]] = True
    scores = {"all": FrameScores(), "without silence": FrameScores()}
    matrices = ((utterance, reader[utterance]) for utterance in counted(used, "utterances", len(used)))
    for utterance, log_posteriors in forward_all(model, matrices, "logposteriors", None, batch_frames):
        pdfs = alignments[utterance]
        scores["all"].add(log_posteriors, pdfs)
        speech = ~silent[pdfs]
        scores["without silence"].add(log_posteriors[speech], pdfs[speech])
    for name, score in scores.items():
        if name == "all" or options.silence_phones:
            print(f"{name}: {score}")
