#!/usr/bin/env bash
# GMM systems as in Kaldi's AMI recipe (egs/ami/s5/run_ihm.sh), by our steps or Kaldi's own: mono, tri1 and tri2a on deltas,
# tri3a (LDA+MLLT), tri4a (speaker-adaptive), each from the alignment of the one before; then tri4a_ali, the alignment
# that networks are trained on, with the training speakers' transforms. A system that is there, made by the same command
# and newer than its input, is not regenerated.
# usage: gmm.sh [options] <data-dir> <lang-dir> <exp-dir>
# e.g.:  gmm.sh --config conf/gmm_mini.conf --nj 2 data/mini/mfcc/train data/mini/lang exp/mini

nj=30
cmd=run.py
steps=steps_py       # or steps, a link to Kaldi's, which needs KALDI_ROOT
cmvn_opts="--norm-means=true --norm-vars=false"
tri1="5000 80000"    # leaves and Gaussians of tri1; these are the sizes of Kaldi's AMI recipe
tri2a="5000 80000"
tri3a="5000 80000"
tri4a="5000 80000"
splice_opts="--left-context=3 --right-context=3" # of LDA
max_missing=0.05     # share of training utterances that may have no alignment in the end
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
. "$(dirname "$0")/took.sh"
data=$1 lang=$2 exp=$3

need_files "$data/feats.scp" "$data/cmvn.scp" "$data/text" "$lang/L.fst" "$lang/phones/roots.int" "$steps/train_sat.sh"
if [ "$steps" != steps_py ]; then need_files "${KALDI_ROOT:?set KALDI_ROOT, or take --steps steps_py}/src/gmmbin/gmm-est-fmllr"; fi
limit_jobs "$(wc -l < "$data/spk2utt")"

lock_output "$exp"

# figure <directory>: what its training or alignment came to, from our own logs; nothing from Kaldi's.
figure() {
  grep -ho 'log-likelihood -\{0,1\}[0-9.]* a frame' "$1"/log/{train,align.1}.log 2> /dev/null | tail -n 1 || true
}

# make <directory> <file it is made from> <script> <arguments>...
make() {
  local dir=$1 input=$2 script=$3
  shift 3
  if [ "$(cat "$dir/.made_by" 2> /dev/null || true)" = "$script $*" ] && [ "$dir/.made_by" -nt "$input" ]; then
    echo "$0: $dir is up to date" >&2
    return
  fi
  rm -f "$dir/.made_by"
  begin_part
  submit "$script" --cmd "$cmd" "$@"
  put "$dir/.made_by" "$script $*"
  took "$dir" "$(figure "$dir")"
}
# shellcheck disable=SC2086  # the sizes are two words
{
  make "$exp/mono" "$data/feats.scp" "$steps"/train_mono.sh --nj "$nj" --cmvn-opts "$cmvn_opts" "$data" "$lang" "$exp/mono"
  make "$exp/mono_ali" "$exp/mono/.made_by" "$steps"/align_si.sh --nj "$nj" "$data" "$lang" "$exp/mono" "$exp/mono_ali"
  make "$exp/tri1" "$exp/mono_ali/.made_by" "$steps"/train_deltas.sh --cmvn-opts "$cmvn_opts" \
    $tri1 "$data" "$lang" "$exp/mono_ali" "$exp/tri1"
  make "$exp/tri1_ali" "$exp/tri1/.made_by" "$steps"/align_si.sh --nj "$nj" "$data" "$lang" "$exp/tri1" "$exp/tri1_ali"
  make "$exp/tri2a" "$exp/tri1_ali/.made_by" "$steps"/train_deltas.sh --cmvn-opts "$cmvn_opts" \
    $tri2a "$data" "$lang" "$exp/tri1_ali" "$exp/tri2a"
  make "$exp/tri2a_ali" "$exp/tri2a/.made_by" "$steps"/align_si.sh --nj "$nj" "$data" "$lang" "$exp/tri2a" "$exp/tri2a_ali"
  make "$exp/tri3a" "$exp/tri2a_ali/.made_by" "$steps"/train_lda_mllt.sh --splice-opts "$splice_opts" \
    $tri3a "$data" "$lang" "$exp/tri2a_ali" "$exp/tri3a"
  make "$exp/tri3a_ali" "$exp/tri3a/.made_by" "$steps"/align_fmllr.sh --nj "$nj" "$data" "$lang" "$exp/tri3a" "$exp/tri3a_ali"
  make "$exp/tri4a" "$exp/tri3a_ali/.made_by" "$steps"/train_sat.sh $tri4a "$data" "$lang" "$exp/tri3a_ali" "$exp/tri4a"
  make "$exp/tri4a_ali" "$exp/tri4a/.made_by" "$steps"/align_fmllr.sh --nj "$nj" "$data" "$lang" "$exp/tri4a" "$exp/tri4a_ali"
}
hdnn check utterances --max-missing "$max_missing" "$data" "$exp/tri4a_ali"
