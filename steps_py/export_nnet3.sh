#!/usr/bin/env bash
# Export a network as a Kaldi nnet3 model with its decoding graph: a model directory for Vosk and nnet3-latgen-faster.
# Writes am/final.mdl, graph/, conf/, export.json (checksums) and README.md (the model card) into <out-dir>.

# Begin configuration.
cmd=run.py
weights=final.safetensors
params=             # safetensors file of tensors that replace the model's, such as one speaker's gates
binary=true         # false: am/final.mdl as text
lm_weight=          # that Vosk shall choose words with; default: the best of decode_dev, else 10
beam=11.0
lattice_beam=4.0    # more costs Vosk much time, and its one best answer little
min_active=200
max_active=2000
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
  echo "usage: $0 [options] <model-dir> <graph-dir> <out-dir>" >&2
  echo "e.g.:  $0 --check-data data/dev exp/hdnn_online exp/tri4a/graph exp/hdnn_online/export" >&2
  echo "options: --cmd, --weights, --params, --binary true|false, --lm-weight, --beam, --lattice-beam, --min-active," >&2
  echo "  --max-active, --feat-type, --feat-config, --trained-on, --licence, --check-data, --check-utterances" >&2
  exit 1
fi
model=$1
graph=$2
out=$3

for f in "$model/final.mdl" "$model/model.json" "$model/$weights" "$graph/HCLG.fst" "$graph/words.txt"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done

mkdir -p "$out/log"
$cmd "$out/log/export_nnet3.log" \
  python3 -m hdnn_nnet.bin.export_nnet3 "--weights=$weights" "--params=$params" "--binary=$binary" \
  ${lm_weight:+"--lm-weight=$lm_weight"} "--beam=$beam" "--lattice-beam=$lattice_beam" "--min-active=$min_active" \
  "--max-active=$max_active" "--feat-type=$feat_type" "--feat-config=$feat_config" "--trained-on=$trained_on" \
  "--licence=$licence" "--check-data=$check_data" "--check-utterances=$check_utterances" "$model" "$graph" "$out"
if [ ! -s "$out/am/final.mdl" ] || [ ! -s "$out/README.md" ]; then
  echo "$0: the export ended without its files; see $out/log/export_nnet3.log" >&2
  exit 1
fi
echo "$0: $(grep -oE 'Done: .*|vosk: .*' "$out/log/export_nnet3.log" | tr '\n' ';')"
