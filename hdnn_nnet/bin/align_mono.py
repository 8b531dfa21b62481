"""One job of forced alignment by a GMM system on delta features: writes ALI-DIR/ali.JOB.gz."""

from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.cli import OptionParser, part_of, run
from hdnn_nnet.gmm.align_job import add_align_options, align_job
from hdnn_nnet.gmm.directory import gmm_reader, read_transcripts
from hdnn_nnet.gmm.model import LogLikelihoods, read_gmm_model
from hdnn_nnet.gmm.train import silence_pdfs
from hdnn_nnet.kaldi.tree import ContextDependency


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("hdnn-align-mono", __doc__ or "")
    add_align_options(parser)
    parser.add_argument("--boost-silence", type=float, default=1.0, help="factor on silence likelihoods")
    parser.add_argument("data_dir")
    parser.add_argument("lang_dir")
    parser.add_argument("src_dir", help="with final.mdl, tree, cmvn_opts and delta_opts")
    parser.add_argument("ali_dir")
    args = parser.parse_args(argv)

    data, lang, source = Path(args.data_dir), Path(args.lang_dir), Path(args.src_dir)
    transition_model, gmms = read_gmm_model(source / "final.mdl")
    tree = ContextDependency.read(source / "tree")
    reader = gmm_reader(data, source, Path(args.root) if args.root else None)
    if args.boost_silence != 1.0:
        gmms = gmms.boosted(silence_pdfs(transition_model, lang), args.boost_silence)
    log_likelihoods = LogLikelihoods(gmms)
    scores = ((utterance, log_likelihoods(reader[utterance])) for utterance in part_of(reader.utts, args))
    align_job(args, transition_model, tree, lang, read_transcripts(data), scores, Path(args.ali_dir))
    return 0


if __name__ == "__main__":
    run(main, "hdnn-align-mono")
