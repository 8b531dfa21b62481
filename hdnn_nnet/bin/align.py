"""One job of forced alignment by a network of ours or of Kaldi's nnet1: writes ALI-DIR/ali.JOB.gz."""

from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.bin.forward import add_network_options, forward_all, model_features, open_network
from hdnn_nnet.cli import OptionParser, part_of, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.align_job import add_align_options, align_job
from hdnn_nnet.gmm.directory import read_transcripts
from hdnn_nnet.kaldi.symbols import check_phones
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency

PROGRAM = "hdnn-align"


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    add_align_options(parser)
    add_network_options(parser)
    parser.add_argument("data_dir")
    parser.add_argument("lang_dir")
    parser.add_argument("src_dir", help="network with final.mdl, tree, counts for the prior, cmvn_opts and delta_opts")
    parser.add_argument("ali_dir")
    args = parser.parse_args(argv)

    data, lang, source = Path(args.data_dir), Path(args.lang_dir), Path(args.src_dir)
    check_phones(lang, source)
    transition_model = TransitionModel.read(source / "final.mdl")
    tree = ContextDependency.read(source / "tree")
    reader = model_features(data, source, args.root)
    model, log_prior = open_network(args, source, "loglikes")
    if model.num_pdfs != transition_model.num_pdfs:
        raise HdnnError(
            f"{source}: the network has {model.num_pdfs} outputs, final.mdl {transition_model.num_pdfs} pdfs; "
            "take the final.mdl of the alignment that it was trained on"
        )
    features = ((utterance, reader[utterance]) for utterance in part_of(reader.utts, args))
    scores = forward_all(model, features, "loglikes", log_prior, args.batch_frames)
    align_job(args, transition_model, tree, lang, read_transcripts(data), scores, Path(args.ali_dir))
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
