"""One job of forced alignment by a GMM system on its speaker-independent features: writes ALI-DIR/ali.JOB.gz."""

from hdnn_nnet.gmm.options import GmmAlignCommand

Options = GmmAlignCommand
EXAMPLE = "hdnn align gmm --num-jobs 4 --job 1 data/train data/lang exp/mono exp/mono_ali"
WRITES = "ali_dir"


def main(options: GmmAlignCommand) -> None:
    from pathlib import Path

    from hdnn_nnet.align.job import align_job
    from hdnn_nnet.gmm.aligner import GmmAligner
    from hdnn_nnet.gmm.features import open_features
    from hdnn_nnet.gmm.model import read_gmm_model
    from hdnn_nnet.gmm.passes import silence_pdfs
    from hdnn_nnet.kaldi.data_dir import DataDir
    from hdnn_nnet.kaldi.split import job_speakers
    from hdnn_nnet.kaldi.tree import ContextDependency
    from hdnn_nnet.lang.transcripts import read_transcripts
    from hdnn_nnet.progress import counted

    data, lang, source = Path(options.data_dir), Path(options.lang_dir), Path(options.src_dir)
    transition_model, gmms = read_gmm_model(source / "final.mdl")
    tree = ContextDependency.read(source / "tree")
    reader = open_features(data, source, options.align.root)
    if options.boost_silence != 1.0:
        gmms = gmms.boosted(silence_pdfs(transition_model, lang), options.boost_silence)
    aligner = GmmAligner(transition_model, tree, gmms, options.align.search)
    speakers = job_speakers(DataDir(data).spk2utts, options.align.job, data)
    part = [utterance for utterances in speakers.values() for utterance in utterances if utterance in reader]
    features = ((utterance, reader[utterance]) for utterance in counted(part, "utterances", len(part)))
    target = Path(options.ali_dir)
    align_job(options.align, aligner, transition_model, tree, lang, read_transcripts(data), features, target)
