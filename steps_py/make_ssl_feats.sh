#!/usr/bin/env bash
# Features of a speech encoder (wav2vec 2.0, HuBERT, WavLM, Whisper) of a data directory, from its wav.scp and segments, with
# normalisation statistics by speaker. The encoder is a local folder as the package transformers saves it (docs/distillation.md).
# Writes feats.scp, utt2num_frames, utt2aligned_frames, utt2dur and cmvn.scp, and the archives they point to.
# usage: make_ssl_feats.sh [options] <data-dir> [<log-dir> [<ark-dir>]]
# e.g.:  make_ssl_feats.sh --model models/wavlm-base --layer 9 --like data/train --nj 8 data/train_ssl exp/make_ssl/train ssl
# Started again after it was stopped, it goes on with the jobs that had not ended, if --nj is the same.

nj=4
cmd=run.py
like=         # data directory of the features that alignments and students have: utterances get as many frames as there;
              # default: as many as Kaldi's windows of 25 ms give
max_missing=  # share of utterances that may be too short for a frame; default: that of hdnn collect feats
program="feats ssl"
. "$(dirname "$0")/step.sh" || exit 1
data=$1 logdir=${2:-$1/log} arkdir=${3:-$1/data}

make=(feats ssl "${program_options[@]}")
collect=(collect feats ${max_missing:+"--max-missing=$max_missing"})
check_options "${make[@]}" "$data" prefix
check_options "${collect[@]}" "$data" prefix
need_files "$data/wav.scp" "$data/utt2spk" "$data/spk2utt" ${like:+"$like/feats.scp"}
if [ -n "$like" ] && [ "$like" -ef "$data" ]; then fail "--like $like is the directory to write; copy it first"; fi
lock_output "$data"
mkdir -p "$logdir" "$arkdir"
arkdir=$(cd "$arkdir" && pwd) # so that the features are found from any directory
name=ssl_$(basename "$(dirname "$(readlink -f "$data")")")_$(basename "$data") prefix=$arkdir/raw_$name
if [ -f "$data/segments" ]; then count=$(wc -l < "$data/segments"); else count=$(wc -l < "$data/wav.scp"); fi
limit_jobs "$count"
submit $cmd "JOB=1:$nj" "$logdir/make_$name.JOB.log" hdnn "${make[@]}" --num-jobs "$nj" --job JOB "$data" "$prefix"
submit $cmd "$logdir/collect_$name.log" hdnn "${collect[@]}" --num-jobs "$nj" --cmvn "$arkdir/cmvn_$name" "$data" "$prefix"
if [ -n "$like" ]; then submit $cmd "$logdir/fit_$name.log" hdnn feats fit "$data" "$like"; fi
rows=$(awk '{n += $2} END {print n}' "$data/utt2num_frames")
frames=$(awk '{n += $2} END {print n}' "$data/utt2aligned_frames")
echo "$0: $(wc -l < "$data/feats.scp") of $count utterances have features of the encoder, $rows rows for $frames frames;" \
  "$data/cmvn.scp has $(wc -l < "$data/cmvn.scp") speakers"
