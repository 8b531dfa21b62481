#!/usr/bin/env bash
# Export a network to ONNX: whole utterances (model) and streams (stream), 32-bit float and 8-bit integers (.int8).
# Writes onnx/, conf/, export.json and README.md into <out-dir>; give that of export_nnet3.sh to have a graph beside it.
# usage: export_onnx.sh [options] <model-dir> <calibration-data> <out-dir>
# e.g.:  export_onnx.sh exp/hdnn_online data/train exp/hdnn_online/export

cmd=run.py
program="export onnx"
. "$(dirname "$0")/step.sh" || exit 1
model=$1 data=$2 out=$3 log=$3/log/export_onnx.log

check_options export onnx "${program_options[@]}" "$model" "$data" "$out"
need_files "$model/final.mdl" "$model/model.json" "$data/feats.scp"
lock_output "$out"
mkdir -p "$out/log"
submit $cmd "$log" hdnn export onnx "${program_options[@]}" "$model" "$data" "$out"
need_output "$log" "$out/onnx/stream.int8.onnx" "$out/README.md"
echo "$0: $(grep -oE 'Done: .*|onnx[a-z0-9-]*: .*' "$log" | tr '\n' ';')"
