#!/usr/bin/env bash
# Forced alignment of a data directory by a network of ours or of Kaldi's nnet1 (argument order of Kaldi's
# steps/nnet/align.sh); no Kaldi needed. Writes ali.N.gz, and in `unaligned` the utterances that failed.

# Begin configuration.
nj=4
cmd=run.py
beam=10
retry_beam=40     # beam for utterances that fail
scale_opts="--transition-scale=1.0 --acoustic-scale=0.1 --self-loop-scale=0.1"
forward_opts=     # options of the forward pass, for example "--device cuda"
max_missing=0.05  # share of utterances that may fail to align
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 4 ]; then
  echo "usage: $0 [options] <data-dir> <lang-dir> <src-dir> <align-dir>" >&2
  echo "e.g.:  $0 --nj 8 --cmd run.py data/ihm/train data/lang exp/ihm/hdnn_h128l10 exp/ihm/hdnn_h128l10_ali" >&2
  echo "options: --nj, --cmd, --beam, --retry-beam, --scale-opts, --forward-opts, --max-missing (see the top of this script)" >&2
  exit 1
fi
data=$1
lang=$2
src=$3
dir=$4

for f in "$data/feats.scp" "$data/text" "$lang/L.fst" "$lang/words.txt" "$lang/phones.txt" "$lang/oov.int" \
  "$src/final.mdl" "$src/tree"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done
if [ ! -f "$src/model.json" ] && [ ! -f "$src/final.nnet" ]; then
  echo "$0: $src is no model directory (model.json or final.nnet)" >&2
  exit 1
fi
mkdir -p "$dir/log"
count=$(wc -l < "$data/feats.scp")
if [ "$nj" -gt "$count" ]; then nj=$count; fi
# What an earlier run left must not pass for the result of this one.
# An earlier result must not pass for this one, whole or in part.
rm -f "$dir"/ali.*.gz "$dir"/unaligned "$dir"/unaligned.* "$dir"/num_jobs "$dir"/final.mdl

# shellcheck disable=SC2086
$cmd "JOB=1:$nj" "$dir/log/align.JOB.log" \
  python3 -m hdnn_nnet.bin.align --job JOB --num-jobs "$nj" --beam "$beam" --retry-beam "$retry_beam" $scale_opts \
  $forward_opts "$data" "$lang" "$src" "$dir"
$cmd "$dir/log/collect.log" \
  python3 -m hdnn_nnet.bin.collect_ali --num-jobs "$nj" --max-failed "$max_missing" --lang-dir "$lang" "$data" "$src" "$dir"
echo "$0: $(grep -F "$dir: " "$dir/log/collect.log" | tail -n 1 | sed 's/^[^)]*) //')"
