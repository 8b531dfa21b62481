#!/usr/bin/env bash
# Decoding graph HCLG.fst from a lang directory and a model directory (tree and transition model of any context width),
# as Kaldi's utils/mkgraph.sh makes it; no Kaldi needed.
# usage: mkgraph.sh [options] <lang-dir> <model-dir> <graph-dir>
# e.g.:  mkgraph.sh data/lang_test exp/ihm/mono exp/ihm/mono/graph

cmd=run.py
transition_scale=1.0
self_loop_scale=0.1
use_kaldi=false # true: let the utils/mkgraph.sh of KALDI_ROOT make it
force=false     # true: make it even if it is newer than what it is made of
. "$(dirname "$0")/step.sh" || exit 1
lang=$1 model=$2 dir=$3

words=(--transition-scale "$transition_scale" --self-loop-scale "$self_loop_scale" "$lang" "$model" "$dir")
check_options mkgraph "${words[@]}"
needed=("$lang/L_disambig.fst" "$lang/G.fst" "$lang/phones/disambig.int" "$lang/words.txt" "$model/final.mdl" "$model/tree")
need_files "${needed[@]}"
scales="$transition_scale $self_loop_scale"
if [ -s "$dir/HCLG.fst" ] && [ "$(cat "$dir/.scales" 2> /dev/null || true)" = "$scales" ] && ! $force &&
  [ -z "$(find -L "${needed[@]}" -newer "$dir/HCLG.fst")" ]; then
  echo "$0: $dir/HCLG.fst is up to date"
  exit 0
fi
maker=(hdnn mkgraph)
if $use_kaldi; then maker=("${KALDI_ROOT:?--use-kaldi true needs KALDI_ROOT}/egs/wsj/s5/utils/mkgraph.sh"); fi
lock_output "$dir"
mkdir -p "$dir/log"
if $use_kaldi; then rm -f "$dir/HCLG.fst"; fi # its script keeps any that is newer: of other scales, or without what belongs to it
submit $cmd "$dir/log/mkgraph.log" "${maker[@]}" "${words[@]}"
need_output "$dir/log/mkgraph.log" "$dir/HCLG.fst"
put "$dir/.scales" "$scales"
echo "$0: $dir/HCLG.fst has $(wc -c < "$dir/HCLG.fst") bytes, $(cat "$dir/num_pdfs") pdfs"
