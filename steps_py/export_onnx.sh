#!/usr/bin/env bash
# Export a network to ONNX: whole utterances (model) and streams (stream), 32-bit float and 8-bit integers (.int8).
# Writes onnx/, conf/, export.json and README.md into <out-dir>; give that of export_nnet3.sh to have a graph beside it.

# Begin configuration.
cmd=run.py
weights=final.safetensors
params=             # safetensors file of tensors that replace the model's, such as one speaker's gates
calibration_utterances=50 # utterances that set the scales of the 8-bit models
reduce_range=false  # 7-bit weights, for x86 processors without VNNI
feat_type=          # mfcc or fbank, for models without a file feat_opts
feat_config=        # conf/<type>.conf, likewise
trained_on=         # for the model card
licence=            # for the model card
check_data=         # data directory with audio and text to try the export on
check_utterances=50 # utterances of it; 0: all
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: $0 [options] <model-dir> <calibration-data> <out-dir>" >&2
  echo "e.g.:  $0 exp/hdnn_online data/train exp/hdnn_online/export" >&2
  echo "options: --cmd, --weights, --params, --calibration-utterances, --reduce-range true|false, --feat-type, --feat-config," >&2
  echo "  --trained-on, --licence, --check-data, --check-utterances" >&2
  exit 1
fi
model=$1
data=$2
out=$3

for f in "$model/final.mdl" "$model/model.json" "$model/$weights" "$data/feats.scp"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done

mkdir -p "$out/log"
$cmd "$out/log/export_onnx.log" \
  python3 -m hdnn_nnet.bin.export_onnx "--weights=$weights" "--params=$params" \
  "--calibration-utterances=$calibration_utterances" "--reduce-range=$reduce_range" "--feat-type=$feat_type" \
  "--feat-config=$feat_config" "--trained-on=$trained_on" "--licence=$licence" "--check-data=$check_data" \
  "--check-utterances=$check_utterances" "$model" "$data" "$out"
if [ ! -s "$out/onnx/stream.int8.onnx" ] || [ ! -s "$out/README.md" ]; then
  echo "$0: the export ended without its files; see $out/log/export_onnx.log" >&2
  exit 1
fi
echo "$0: $(grep -oE 'Done: .*|onnx[a-z0-9-]*: .*' "$out/log/export_onnx.log" | tr '\n' ';')"
