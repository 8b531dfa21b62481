#!/usr/bin/env bash
# Data directories of the so762 outputs of a real Kaldi system (see its README): <data-dir>/{train_tr90,train_cv10,dev}.
# The scp files there have paths relative to it; here they become absolute, so that steps can run from anywhere.

if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: $0 <so762-dir> <data-dir>" >&2
  echo "e.g.:  $0 /corpora/so762 data/so762" >&2
  exit 1
fi
source=$(readlink -f "$1")
data=$2
for f in data-fmllr/train/feats.scp data-fmllr/dev/feats.scp data-fmllr/train_cv10.uttlist; do
  if [ ! -f "$source/$f" ]; then
    echo "$0: $source/$f does not exist" >&2
    exit 1
  fi
done
for part in train dev; do
  mkdir -p "$data/$part"
  for f in text utt2spk spk2utt utt2dur; do cp "$source/data-fmllr/$part/$f" "$data/$part/$f"; done
  sed "s| | $source/|" "$source/data-fmllr/$part/feats.scp" > "$data/$part/feats.scp"
done
python3 -m hdnn_nnet.bin.split_tr_cv --cv-list "$source/data-fmllr/train_cv10.uttlist" \
  "$data/train" "$data/train_tr90" "$data/train_cv10"
echo "$0: $(wc -l < "$data/train/text") training and $(wc -l < "$data/dev/text") dev utterances in $data" >&2
