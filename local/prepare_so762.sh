#!/usr/bin/env bash
# Data directories of the so762 outputs of a real Kaldi system (see its README): <data-dir>/{train_tr90,train_cv10,dev} with
# its fMLLR features, and <data-dir>/mfcc/{train,dev} with the MFCC from which GMMs of our own begin.
# The scp files there have paths relative to it; here they become absolute, so that steps can run from anywhere.
# usage: prepare_so762.sh <so762-dir> <data-dir>
# e.g.:  prepare_so762.sh /corpora/so762 data/so762

. "$(dirname "$0")/../steps_py/step.sh" || exit 1
source=$(readlink -f "$1") data=$2

need_files "$source"/data-fmllr/{train/feats.scp,dev/feats.scp,train_cv10.uttlist} "$source"/data-mfcc/{train,dev}/{feats,cmvn}.scp
lock_output "$data"
for part in train dev; do
  mkdir -p "$data/$part" "$data/mfcc/$part"
  for f in text utt2spk spk2utt utt2dur; do cp "$source/data-fmllr/$part/$f" "$data/$part/$f"; done
  for f in text utt2spk spk2utt; do cp "$source/data-mfcc/$part/$f" "$data/mfcc/$part/$f"; done
  sed "s| | $source/|" "$source/data-fmllr/$part/feats.scp" > "$data/$part/feats.scp"
  for f in feats cmvn; do sed "s| | $source/|" "$source/data-mfcc/$part/$f.scp" > "$data/mfcc/$part/$f.scp"; done
done
hdnn data split-tr-cv --cv-list "$source/data-fmllr/train_cv10.uttlist" "$data/train" "$data/train_tr90" "$data/train_cv10"
echo "$0: $(wc -l < "$data/train/text") training and $(wc -l < "$data/dev/text") dev utterances in $data" >&2
