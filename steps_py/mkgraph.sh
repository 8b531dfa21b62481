#!/usr/bin/env bash
# Decoding graph HCLG.fst from a lang directory and a model directory (tree and transition model of any context width),
# as Kaldi's utils/mkgraph.sh makes it; no Kaldi needed.

# Begin configuration.
cmd=run.py
transition_scale=1.0
self_loop_scale=0.1
use_kaldi=false # true: let the utils/mkgraph.sh of KALDI_ROOT make it
force=false     # true: make it even if it is newer than what it is made of
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: $0 [options] <lang-dir> <model-dir> <graph-dir>" >&2
  echo "e.g.:  $0 data/lang_test exp/ihm/mono exp/ihm/mono/graph" >&2
  echo "options: --cmd, --transition-scale, --self-loop-scale, --use-kaldi true|false, --force true|false" >&2
  exit 1
fi
lang=$1
model=$2
dir=$3

required=("$lang/L_disambig.fst" "$lang/G.fst" "$lang/phones/disambig.int" "$lang/words.txt" "$model/final.mdl" "$model/tree")
for f in "${required[@]}"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done

up_to_date=false
scales="$transition_scale $self_loop_scale"
if [ -s "$dir/HCLG.fst" ] && [ "$(cat "$dir/.scales" 2> /dev/null || true)" = "$scales" ] && ! $force; then
  up_to_date=true
  for f in "${required[@]}"; do
    if [ "$f" -nt "$dir/HCLG.fst" ]; then up_to_date=false; fi
  done
fi
if $up_to_date; then
  echo "$0: $dir/HCLG.fst is up to date"
  exit 0
fi

mkdir -p "$dir/log"
if $use_kaldi; then
  mkgraph=${KALDI_ROOT:?--use-kaldi true needs KALDI_ROOT}/egs/wsj/s5/utils/mkgraph.sh
  $cmd "$dir/log/mkgraph.log" "$mkgraph" --transition-scale "$transition_scale" --self-loop-scale "$self_loop_scale" \
    "$lang" "$model" "$dir"
else
  $cmd "$dir/log/mkgraph.log" python3 -m hdnn_nnet.bin.mkgraph --transition-scale "$transition_scale" \
    --self-loop-scale "$self_loop_scale" "$lang" "$model" "$dir"
fi
if [ ! -s "$dir/HCLG.fst" ]; then
  echo "$0: $dir/HCLG.fst is missing; see $dir/log/mkgraph.log" >&2
  exit 1
fi
echo "$scales" > "$dir/.scales"
echo "$0: $dir/HCLG.fst has $(wc -c < "$dir/HCLG.fst") bytes, $(cat "$dir/num_pdfs") pdfs"
