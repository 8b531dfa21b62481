#!/usr/bin/env bash
# Monophone GMM from a flat start, with the schedule and the output files of Kaldi's steps/train_mono.sh; no Kaldi needed.

# Begin configuration.
nj=4              # processes
cmd=run.py
num_iters=40
max_iter_inc=30   # the last pass that adds Gaussians
totgauss=1000     # Gaussians in the end
power=0.25        # exponent of the occupancy when Gaussians are dealt out
boost_silence=1.0 # factor on silence likelihoods in alignment
initial_beam=6    # beam of the first alignment
beam=10           # beam of later ones
retry_beam=40     # beam for utterances that fail
cmvn_opts="--norm-means=true --norm-vars=false"
delta_opts="--delta-order=2 --delta-window=2"
max_failed=0.05   # share of utterances that may fail to align
seed=0
stage=0           # 1: only check that the result is there
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: $0 [options] <data-dir> <lang-dir> <exp-dir>" >&2
  echo "e.g.:  $0 --nj 4 --cmd run.py data/ihm/train data/lang exp/ihm/mono" >&2
  echo "options: --nj, --cmd, --num-iters, --totgauss, --boost-silence, --beam, --retry-beam, --cmvn-opts, --delta-opts," >&2
  echo "         --max-failed, --seed (see the top of this script)" >&2
  exit 1
fi
data=$1
lang=$2
dir=$3

for f in "$data/feats.scp" "$data/cmvn.scp" "$data/text" "$data/utt2spk" "$lang/topo" "$lang/L.fst" "$lang/words.txt" \
  "$lang/oov.int" "$lang/phones/sets.int" "$lang/phones/optional_silence.int"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done
mkdir -p "$dir/log"

if [ "$stage" -le 0 ]; then
  # One thread a process: the processes are the parallelism, and BLAS threads would only get in their way.
  $cmd "$dir/log/train.log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    python3 -m hdnn_nnet.bin.train_mono --nj "$nj" --num-iters "$num_iters" --max-iter-inc "$max_iter_inc" \
    --totgauss "$totgauss" --power "$power" --boost-silence "$boost_silence" --initial-beam "$initial_beam" \
    --beam "$beam" --retry-beam "$retry_beam" "--cmvn-opts=$cmvn_opts" "--delta-opts=$delta_opts" \
    --max-failed "$max_failed" --seed "$seed" "$data" "$lang" "$dir"
fi
for f in final.mdl tree num_jobs ali.1.gz; do
  if [ ! -s "$dir/$f" ]; then
    echo "$0: $dir/$f is missing; see $dir/log/train.log" >&2
    exit 1
  fi
done
echo "$0: $(grep -F "$dir: " "$dir/log/train.log" | tail -n 1 | sed 's/^[^)]*) //')"
