"""Forward features through a network and write log-likelihoods (the counterpart of nnet-forward)."""

from dataclasses import dataclass

from hdnn_nnet.nn.options import ForwardOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option

OUTPUTS = ("loglikes", "logposteriors", "posteriors", "logits")


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Forward pass."""

    model_dir: str = argument("directory with final.safetensors and model.json, or with final.nnet of Kaldi's nnet1")
    features: str = argument("data directory (its CMVN and deltas as in training) or a feature rspecifier")
    wspecifier: str = argument("where the matrices go, for example ark:-")
    output: str = option("loglikes", "what is written", choices=OUTPUTS)
    adapt_dir: str = option("", "parameters by speaker, of steps_py/adapt.sh")
    utt2spk: str = option("", "for --adapt-dir and --cmvn-scp; default: that of the data directory")
    cmvn_scp: str = option("", "CMVN statistics for a feature rspecifier, by speaker; without --utt2spk by utterance")
    forward: ForwardOptions = group(ForwardOptions)


EXAMPLE = "hdnn forward exp/hdnn data/dev ark:- | latgen-faster-mapped ... final.mdl HCLG.fst ark:- ark:lat.ark"


def main(options: Options) -> None:
    import logging
    import time
    from pathlib import Path

    from hdnn_nnet.adapt.switch import SpeakerSwitch, forward_adapted
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
    from hdnn_nnet.kaldi.script_table import read_scp
    from hdnn_nnet.nn.forward import forward_all, open_features, open_network
    from hdnn_nnet.nn.networks import AcousticModel

    log = logging.getLogger(__name__)
    model_dir, batch_frames = Path(options.model_dir), options.forward.batch_frames
    model, log_prior = open_network(options.forward, model_dir, options.output)
    switch = None
    if options.adapt_dir:
        if not isinstance(model, AcousticModel):
            raise HdnnError(f"--adapt-dir: {model_dir} is a network of Kaldi's; only ours can be adapted")
        if not options.utt2spk and not Path(options.features).is_dir():
            raise HdnnError("--adapt-dir needs to know speakers: give --utt2spk where features come from a table")
        switch = SpeakerSwitch(model, options.adapt_dir, model_dir)
    utts = frames = 0
    started = time.monotonic()
    source = open_features(options.features, model_dir, options.cmvn_scp, options.utt2spk)
    if switch is None:
        outputs = forward_all(model, source, options.output, log_prior, batch_frames)
    else:
        utt2spk = read_scp(options.utt2spk or Path(options.features) / "utt2spk")
        outputs = forward_adapted(switch, source, utt2spk, options.output, log_prior, batch_frames)
    with MatrixWriter(options.wspecifier) as writer:
        for utt, values in outputs:
            writer.write_matrix(utt, values)
            utts += 1
            frames += len(values)
    if not utts:
        raise HdnnError(f"{options.features} holds no utterances")
    seconds = time.monotonic() - started
    log.info("Done %d utterances, %d frames in %.1f s (%.0f frames/s)", utts, frames, seconds, frames / seconds)
    if switch is not None:
        log.info("%d speakers adapted, %d independent", len(switch.adapted), len(switch.independent))
