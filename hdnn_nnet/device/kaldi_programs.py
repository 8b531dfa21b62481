"""Kaldi's programs that the Kaldi path calls."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hdnn_nnet.device.gaps import Gap

#: What the Kaldi path calls, by the directory under KALDI_ROOT/src where it is built.
KALDI_PROGRAMS = {
    "bin": "acc-lda acc-tree-stats add-self-loops ali-to-pdf ali-to-phones ali-to-post align-equal-compiled am-info build-tree "
    "cluster-phones compile-questions compile-train-graphs convert-ali copy-int-vector est-lda est-mllt latgen-faster-mapped "
    "make-h-transducer sum-tree-stats tree-info weight-silence-post",
    "featbin": "add-deltas apply-cmvn compose-transforms compute-cmvn-stats compute-mfcc-feats copy-feats extract-segments "
    "feat-to-dim splice-feats subset-feats transform-feats",
    "fstbin": "fstaddselfloops fstcomposecontext fstdeterminizestar fstisstochastic fstminimizeencoded fstpushspecial "
    "fstrmepslocal fstrmsymbols fsttablecompose",
    "gmmbin": "gmm-acc-mllt gmm-acc-stats-ali gmm-acc-stats-twofeats gmm-align-compiled gmm-boost-silence gmm-est "
    "gmm-est-fmllr gmm-est-fmllr-gpost gmm-info gmm-init-model gmm-init-mono gmm-latgen-faster gmm-mixup "
    "gmm-post-to-gpost gmm-rescore-lattice gmm-sum-accs gmm-transform-means",
    "latbin": "lattice-best-path lattice-depth-per-frame lattice-determinize-pruned lattice-to-post",
}
OPENFST_PROGRAMS = ("fstcompile", "fstprint", "fstarcsort", "fstinfo")


def kaldi_gaps(root: str) -> Iterator[Gap]:
    """Programs of Kaldi, OpenFst and SCTK that the Kaldi path calls and that are not there."""
    source = Path(root) / "src"
    if not root or not source.is_dir():
        yield Gap(f"KALDI_ROOT={root} is no Kaldi", "export KALDI_ROOT=<directory with src, egs and tools>")
        return
    for folder, names in KALDI_PROGRAMS.items():
        missing = [n for n in names.split() if not os.access(source / folder / n, os.X_OK) and shutil.which(n) is None]
        if missing:
            yield Gap(f"Kaldi's {' '.join(missing)} not built", f"make -j 4 -C {source}/{folder} {' '.join(missing)}")
    lost = [name for name in OPENFST_PROGRAMS if shutil.which(name) is None]
    if lost:
        yield Gap(
            f"OpenFst's {' '.join(lost)} not on PATH", f"make -C {root}/tools openfst, or: apt-get install libfst-tools"
        )
    if shutil.which("hubscr.pl") is None and shutil.which("sctk") is None:
        yield Gap(
            "sclite is not on PATH: WERs without it", f"make -C {root}/tools sclite, or: apt-get install sctk", False
        )
