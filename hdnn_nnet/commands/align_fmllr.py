"""One job of alignment in two passes with speaker transforms: writes ALI-DIR/ali.JOB.gz and trans.JOB.

The alignment model (final.alimdl, else final.mdl) aligns; transforms are estimated for final.mdl, which aligns again.
"""

from dataclasses import dataclass

from hdnn_nnet.gmm.options import GmmAlignCommand
from hdnn_nnet.options import option


@dataclass(frozen=True, kw_only=True)
class Options(GmmAlignCommand):
    """Alignment."""

    originals_ali: str = option(
        "",
        "alignment directory of the originals: copies with noise or reverberation (utt2uniq) take its alignments",
        metavar="DIR",
    )


EXAMPLE = "hdnn align fmllr --num-jobs 4 --job 1 data/train data/lang exp/tri4a exp/tri4a_ali"
WRITES = "ali_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.gmm.align_adapted import AdaptedAligner, Pass, align_adapted_job, copied_alignments
    from hdnn_nnet.gmm.features import open_features
    from hdnn_nnet.gmm.model import read_gmm_model
    from hdnn_nnet.gmm.passes import silence_pdfs
    from hdnn_nnet.kaldi.data_dir import DataDir
    from hdnn_nnet.kaldi.split import job_speakers
    from hdnn_nnet.kaldi.symbols import check_phones, read_integers
    from hdnn_nnet.kaldi.tree import ContextDependency
    from hdnn_nnet.lang.transcripts import read_transcripts

    data, lang, source = Path(options.data_dir), Path(options.lang_dir), Path(options.src_dir)
    check_phones(lang, source)

    def read(path: Path) -> Pass:
        transition_model, gmms = read_gmm_model(path)
        boosted = gmms
        if options.boost_silence != 1.0:
            boosted = gmms.boosted(silence_pdfs(transition_model, lang), options.boost_silence)
        return Pass(transition_model, gmms, boosted)

    final = read(source / "final.mdl")
    first = read(source / "final.alimdl") if (source / "final.alimdl").exists() else final
    silence = read_integers(lang / "phones" / "silence.csl")
    aligner = AdaptedAligner(first, final, ContextDependency.read(source / "tree"), lang, silence, options.align)
    speakers = job_speakers(DataDir(data).spk2utts, options.align.job, data)
    features = open_features(data, source, options.align.root)
    known = {}
    if options.originals_ali:
        here = [utterance for utterances in speakers.values() for utterance in utterances]
        known = copied_alignments(features, here, Path(options.originals_ali), final.transition_model)
    align_adapted_job(
        options.align.job.job, aligner, features, speakers, lang, read_transcripts(data), known, Path(options.ali_dir)
    )
