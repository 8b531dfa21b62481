"""Model directories of systems on transformed features: what Kaldi's train_lda_mllt.sh and train_sat.sh leave in them."""

from pathlib import Path

from hdnn_nnet.atomic import copy_files, write_text
from hdnn_nnet.feats.affine import write_matrix_file, write_transforms
from hdnn_nnet.gmm.directory import write_system
from hdnn_nnet.gmm.features import transform_files
from hdnn_nnet.gmm.lda_mllt import LdaMlltResult
from hdnn_nnet.gmm.model import write_gmm_model
from hdnn_nnet.gmm.sat import SatResult

#: what tells of a system's features, besides its speaker transforms
FEATURE_FILES = ("cmvn_opts", "delta_opts", "splice_opts", "final.mat", "full.mat")
_ADAPTED = ("final.alimdl", "final.mat", "full.mat", "splice_opts")


def _clean(directory: Path) -> None:
    """Remove what another kind of system left there."""
    for path in [*transform_files(directory), *(directory / name for name in _ADAPTED)]:
        path.unlink(missing_ok=True)


def write_lda_mllt(
    directory: Path, lang: Path, result: LdaMlltResult, cmvn_opts: str, splice_opts: str, max_failed: float
) -> None:
    """Write model, tree, alignments, options, `final.mat` and `full.mat`.

    Raises:
        HdnnError: more than the share `max_failed` of the utterances could not be aligned.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _clean(directory)
    write_matrix_file(directory / "final.mat", result.matrix)
    write_matrix_file(directory / "full.mat", result.full)
    write_text(directory / "splice_opts", splice_opts + "\n")
    write_system(directory, lang, result.system, cmvn_opts, None, max_failed)


def write_sat(directory: Path, lang: Path, source: Path, result: SatResult, max_failed: float) -> None:
    """Write model, alignment model, tree, alignments, speaker transforms, and the files of `source` about its features.

    Raises:
        HdnnError: more than the share `max_failed` of the utterances could not be aligned.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _clean(directory)
    for job, transforms in enumerate(result.transforms, 1):
        write_transforms(directory / f"trans.{job}", transforms)
    write_gmm_model(directory / "final.alimdl", result.alignment_transitions, result.alignment_model)
    write_system(directory, lang, result.system, "", None, max_failed)
    copy_files(source, directory, FEATURE_FILES)
