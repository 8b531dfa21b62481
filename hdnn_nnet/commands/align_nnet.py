"""One job of forced alignment by a network of ours or of Kaldi's nnet1: writes ALI-DIR/ali.JOB.gz."""

from dataclasses import dataclass

from hdnn_nnet.align.options import AlignJobOptions
from hdnn_nnet.nn.options import ForwardOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Alignment."""

    data_dir: str = argument("data directory with features and text")
    lang_dir: str = argument("lang directory")
    src_dir: str = argument("network with final.mdl, tree, counts for the prior, cmvn_opts and delta_opts")
    ali_dir: str = argument("alignment directory to write")
    align: AlignJobOptions = group(AlignJobOptions, "Job")
    forward: ForwardOptions = group(ForwardOptions)


EXAMPLE = "hdnn align nnet --num-jobs 4 --job 1 data/train data/lang exp/hdnn exp/hdnn_ali"
WRITES = "ali_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.align.aligner import Aligner
    from hdnn_nnet.align.job import align_job
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.symbols import check_phones
    from hdnn_nnet.kaldi.transitions import TransitionModel
    from hdnn_nnet.kaldi.tree import ContextDependency
    from hdnn_nnet.lang.transcripts import read_transcripts
    from hdnn_nnet.nn.forward import forward_all, model_features, open_network
    from hdnn_nnet.progress import counted

    data, lang, source = Path(options.data_dir), Path(options.lang_dir), Path(options.src_dir)
    check_phones(lang, source)
    transition_model = TransitionModel.read(source / "final.mdl")
    tree = ContextDependency.read(source / "tree")
    reader = model_features(data, source, options.align.root)
    model, log_prior = open_network(options.forward, source, "loglikes")
    if model.num_pdfs != transition_model.num_pdfs:
        raise HdnnError(
            f"{source}: the network has {model.num_pdfs} outputs, final.mdl {transition_model.num_pdfs} pdfs; "
            "take the final.mdl of the alignment that it was trained on"
        )
    part = options.align.job.part_of(reader.utts)
    features = ((utterance, reader[utterance]) for utterance in counted(part, "utterances", len(part)))
    scores = forward_all(model, features, "loglikes", log_prior, options.forward.batch_frames)
    target = Path(options.ali_dir)
    aligner = Aligner(transition_model, tree, options.align.search)
    align_job(options.align, aligner, transition_model, tree, lang, read_transcripts(data), scores, target)
