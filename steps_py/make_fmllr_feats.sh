#!/usr/bin/env bash
# Features of a GMM system, adapted to speakers by --transform-dir, as a data directory to train networks on
# (argument order of Kaldi's steps/nnet/make_fmllr_feats.sh); no Kaldi needed. Writes feats.scp and cmvn.scp.
# usage: make_fmllr_feats.sh [options] <target-data-dir> <data-dir> <gmm-dir> <log-dir> <ark-dir>
# e.g.:  make_fmllr_feats.sh --transform-dir exp/tri4a_ali data-fmllr/train data/train exp/tri4a exp/make_fmllr/log data-fmllr/arks

nj=4
cmd=run.py
program="feats fmllr"
. "$(dirname "$0")/step.sh" || exit 1
target=$1 data=$2 gmm=$3 logdir=$4 arkdir=$5

check_options feats fmllr "${program_options[@]}" "$data" "$gmm" prefix
need_files "$data"/{feats.scp,cmvn.scp,utt2spk} "$gmm/cmvn_opts"
lock_output "$target"
mkdir -p "$logdir" "$arkdir"
arkdir=$(cd "$arkdir" && pwd) # so that the features are found from any directory
name=fmllr_$(basename "$(dirname "$(readlink -m "$target")")")_$(basename "$target") prefix=$arkdir/raw_$name
limit_jobs "$(wc -l < "$data/feats.scp")"
submit $cmd "JOB=1:$nj" "$logdir/make_$name.JOB.log" \
  hdnn feats fmllr "${program_options[@]}" --num-jobs "$nj" --job JOB "$data" "$gmm" "$prefix"
submit $cmd "$logdir/collect_$name.log" hdnn collect fmllr --num-jobs "$nj" "$data" "$target" "$prefix"
echo "$0: $(said_in "$logdir/collect_$name.log" "$target: ")"
