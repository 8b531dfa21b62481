"""The list of programs that preflight looks for, beside the scripts of real Kaldi that the Kaldi path runs."""

import re
from pathlib import Path

import pytest

from hdnn_nnet.device.kaldi_programs import KALDI_PROGRAMS

SCRIPTS = (
    *(
        f"steps/{name}.sh"
        for name in ("make_mfcc", "compute_cmvn_stats", "train_mono", "train_deltas", "train_lda_mllt")
    ),
    *(f"steps/{name}.sh" for name in ("train_sat", "align_si", "align_fmllr", "decode", "decode_fmllr")),
    "steps/nnet/make_fmllr_feats.sh",
    "steps/diagnostic/analyze_alignments.sh",
    "steps/diagnostic/analyze_lats.sh",
    "utils/mkgraph.sh",
)
#: in branches of theirs that no option of ours leads to
OTHER_BRANCHES = {
    "compute-cmvn-stats-two-channel",
    "copy-matrix",
    "gmm-init-model-flat",
    "gmm-latgen-faster-parallel",
    "make-grammar-fst",
    "modify-cmvn-stats",
}


@pytest.mark.kaldi
def test_every_program_of_kaldis_scripts_is_looked_for(kaldi_root: Path) -> None:
    listed = {name for names in KALDI_PROGRAMS.values() for name in names.split()}
    built = {path.stem for folder in KALDI_PROGRAMS for path in (kaldi_root / "src" / folder).glob("*.cc")}
    assert listed <= built
    lines = [line for name in SCRIPTS for line in (kaldi_root / "egs/wsj/s5" / name).read_text().splitlines()]
    words = {word for line in lines if not line.lstrip().startswith("#") for word in re.findall(r"[\w-]+", line)}
    assert words >= OTHER_BRANCHES
    assert (words & built) - OTHER_BRANCHES <= listed
