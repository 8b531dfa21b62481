#!/usr/bin/env bash
# Export a network as a Kaldi nnet3 model with its decoding graph: a model directory for Vosk and nnet3-latgen-faster.
# Writes am/final.mdl, graph/, conf/, export.json (checksums) and README.md (the model card) into <out-dir>.
# usage: export_nnet3.sh [options] <model-dir> <graph-dir> <out-dir>
# e.g.:  export_nnet3.sh --check-data data/dev exp/hdnn_online exp/tri4a/graph exp/hdnn_online/export

cmd=run.py
program="export nnet3"
. "$(dirname "$0")/step.sh" || exit 1
model=$1 graph=$2 out=$3 log=$3/log/export_nnet3.log

check_options export nnet3 "${program_options[@]}" "$model" "$graph" "$out"
need_files "$model/final.mdl" "$model/model.json" "$graph/HCLG.fst" "$graph/words.txt"
lock_output "$out"
mkdir -p "$out/log"
submit $cmd "$log" hdnn export nnet3 "${program_options[@]}" "$model" "$graph" "$out"
need_output "$log" "$out/am/final.mdl" "$out/README.md"
echo "$0: $(grep -oE 'Done: .*|vosk: .*' "$log" | tr '\n' ';')"
