#!/usr/bin/env bash
# Features of a data directory from its wav.scp and segments, with normalisation statistics by speaker; no Kaldi needed.
# Writes feats.scp, utt2num_frames, utt2dur and cmvn.scp, and the archives they point to.
# usage: make_feats.sh [options] <data-dir> [<log-dir> [<ark-dir>]]
# e.g.:  make_feats.sh --type mfcc --nj 8 --cmd run.py data/ihm/train exp/make_mfcc/train mfcc

nj=4
cmd=run.py
type=mfcc     # {mfcc,fbank} 13 cepstral coefficients, or 40 log-mel energies
feat_config=  # options of compute-mfcc-feats or compute-fbank-feats; default: conf/<type>.conf if it exists
max_missing=  # share of utterances that may be too short for a frame; default: that of hdnn collect feats
program="feats make"
. "$(dirname "$0")/step.sh" || exit 1
data=$1 logdir=${2:-$1/log} arkdir=${3:-$1/data}

if [ -z "$feat_config" ] && [ -f "conf/$type.conf" ]; then feat_config=conf/$type.conf; fi
make=(feats make --type "$type" ${feat_config:+"--config=$feat_config"} "${program_options[@]}")
collect=(collect feats ${max_missing:+"--max-missing=$max_missing"})
check_options "${make[@]}" "$data" prefix
check_options "${collect[@]}" "$data" prefix
need_files "$data/wav.scp" "$data/utt2spk" "$data/spk2utt"
lock_output "$data"
mkdir -p "$logdir" "$arkdir"
# Absolute, so that the features are found from any directory.
arkdir=$(cd "$arkdir" && pwd)
# The name holds the parent directory too: data/ihm/train and data/sdm/train may share an archive directory.
name=${type}_$(basename "$(dirname "$(readlink -f "$data")")")_$(basename "$data") prefix=$arkdir/raw_$name
if [ -f "$data/segments" ]; then count=$(wc -l < "$data/segments"); else count=$(wc -l < "$data/wav.scp"); fi
limit_jobs "$count"
submit $cmd "JOB=1:$nj" "$logdir/make_$name.JOB.log" hdnn "${make[@]}" --num-jobs "$nj" --job JOB "$data" "$prefix"
submit $cmd "$logdir/collect_$name.log" hdnn "${collect[@]}" --num-jobs "$nj" --cmvn "$arkdir/cmvn_$name" "$data" "$prefix"
frames=$(awk '{n += $2} END {print n}' "$data/utt2num_frames")
echo "$0: $(wc -l < "$data/feats.scp") of $count utterances have $type features, $frames frames;" \
  "$data/cmvn.scp has $(wc -l < "$data/cmvn.scp") speakers"
