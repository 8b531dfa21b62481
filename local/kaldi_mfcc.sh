#!/usr/bin/env bash
# MFCC and speakers' normalisation statistics of a data directory by Kaldi's programs, in a directory of their own.
# Needs KALDI_ROOT; steps_py/make_feats.sh is the counterpart without Kaldi.
# usage: kaldi_mfcc.sh [options] <src-data-dir> <data-dir>
# e.g.:  kaldi_mfcc.sh --nj 8 data/ami_kaldi/ihm/train data/ami_kaldi/mfcc/train

nj=15
cmd=run.py
mfcc_config=conf/mfcc.conf
max_missing=0.005 # share of utterances that may be too short
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
source=$1 data=$2

if [ ! -x steps/make_mfcc.sh ]; then
  fail "no steps/make_mfcc.sh here; set KALDI_ROOT, and link its egs/wsj/s5/steps and utils as run.sh does"
fi
lock_output "$data"
limit_jobs "$(wc -l < "$source/spk2utt")"
rm -rf "$data"/split* # of an earlier run, with other features
utils/copy_data_dir.sh --validate-opts "--no-feats" "$source" "$data"
submit steps/make_mfcc.sh --mfcc-config "$mfcc_config" --nj "$nj" --cmd "$cmd" "$data" "$data/log" "$data/data"
submit steps/compute_cmvn_stats.sh "$data" "$data/log" "$data/data"
# It removes what has no features; how many, and which, must be seen.
utils/fix_data_dir.sh "$data"
hdnn check utterances --max-missing "$max_missing" "$source/utt2spk" "$data/feats.scp"
