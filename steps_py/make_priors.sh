#!/usr/bin/env bash
# Estimate the pdf priors of a network from its own posteriors (argument order of Kaldi's steps/nnet/make_priors.sh), as is
# useful after sequence training. Writes <nnet-dir>/prior_counts, which decoding and alignment prefer to
# ali_train_pdf.counts; remove the file to go back.

# Begin configuration.
nj=4
cmd=run.py
num_utts=10000    # utterances that are forwarded at most, chosen at random
seed=777          # of the choice
forward_opts=     # options of the forward pass, for example "--device cuda"
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: $0 [options] <data-dir> <nnet-dir>" >&2
  echo "e.g.:  $0 --nj 8 --cmd run.py data/ihm/train exp/ihm/hdnn_h128l10_smbr" >&2
  echo "options: --nj, --cmd, --num-utts, --seed, --forward-opts (see the top of this script)" >&2
  exit 1
fi
data=$1
dir=$2

if [ ! -f "$data/feats.scp" ]; then
  echo "$0: $data/feats.scp does not exist" >&2
  exit 1
fi
if [ ! -f "$dir/model.json" ] && [ ! -f "$dir/final.nnet" ]; then
  echo "$0: $dir is no model directory (model.json or final.nnet)" >&2
  exit 1
fi
mkdir -p "$dir/log"
used=$(wc -l < "$data/feats.scp")
if [ "$used" -gt "$num_utts" ]; then used=$num_utts; fi
if [ "$nj" -gt "$used" ]; then nj=$used; fi
rm -f "$dir"/prior_counts.*

# shellcheck disable=SC2086
$cmd "JOB=1:$nj" "$dir/log/prior_counts.JOB.log" \
  python3 -m hdnn_nnet.bin.prior_counts --job JOB --num-jobs "$nj" --num-utts "$num_utts" --seed "$seed" $forward_opts \
  "$data" "$dir" "$dir/prior_counts.JOB"
parts=()
for ((job = 1; job <= nj; job++)); do parts+=("$dir/prior_counts.$job"); done
counts=$(python3 -m hdnn_nnet.bin.sum_counts "$dir/prior_counts" "${parts[@]}")
rm -f "${parts[@]}"
echo "$0: $dir/prior_counts: $counts of $used utterances"
