#!/usr/bin/env bash
# Forced alignment of a data directory by a GMM on delta features (argument order of Kaldi's steps/align_si.sh); no Kaldi needed.

# Begin configuration.
nj=4
cmd=run.py
beam=10
retry_beam=40     # beam for utterances that fail
boost_silence=1.0 # factor on silence likelihoods
max_failed=0.05   # share of utterances that may fail to align
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 4 ]; then
  echo "usage: $0 [options] <data-dir> <lang-dir> <src-dir> <ali-dir>" >&2
  echo "e.g.:  $0 --nj 4 --cmd run.py data/ihm/train data/lang exp/ihm/mono exp/ihm/mono_ali" >&2
  echo "options: --nj, --cmd, --beam, --retry-beam, --boost-silence, --max-failed (see the top of this script)" >&2
  exit 1
fi
data=$1
lang=$2
src=$3
dir=$4

for f in "$data/feats.scp" "$data/cmvn.scp" "$data/text" "$data/utt2spk" "$lang/L.fst" "$lang/words.txt" "$lang/oov.int" \
  "$src/final.mdl" "$src/tree"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done
mkdir -p "$dir/log"
count=$(wc -l < "$data/feats.scp")
if [ "$nj" -gt "$count" ]; then nj=$count; fi

$cmd "JOB=1:$nj" "$dir/log/align.JOB.log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  python3 -m hdnn_nnet.bin.align_mono --job JOB --num-jobs "$nj" --beam "$beam" --retry-beam "$retry_beam" \
  --boost-silence "$boost_silence" "$data" "$lang" "$src" "$dir"
$cmd "$dir/log/collect.log" \
  python3 -m hdnn_nnet.bin.collect_ali --num-jobs "$nj" --max-failed "$max_failed" "$data" "$src" "$dir"
echo "$0: $(grep -F "$dir: " "$dir/log/collect.log" | tail -n 1 | sed 's/^[^)]*) //')"
