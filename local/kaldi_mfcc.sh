#!/usr/bin/env bash
# MFCC and speakers' normalisation statistics of a data directory by Kaldi's programs, in a directory of their own.
# Needs KALDI_ROOT; steps_py/make_feats.sh is the counterpart without Kaldi.

# Begin configuration.
nj=15
cmd=run.py
max_missing=0.005 # share of utterances that may be too short
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: $0 [options] <src-data-dir> <data-dir>" >&2
  echo "e.g.:  $0 --nj 8 data/ami_kaldi/ihm/train data/ami_kaldi/mfcc/train" >&2
  echo "options: --nj, --cmd, --max-missing" >&2
  exit 1
fi
source=$1
data=$2
if [ ! -x steps/make_mfcc.sh ]; then
  echo "$0: no steps/make_mfcc.sh here; set KALDI_ROOT, and link its egs/wsj/s5/steps and utils as run.sh does" >&2
  exit 1
fi
speakers=$(wc -l < "$source/spk2utt")
if [ "$nj" -gt "$speakers" ]; then nj=$speakers; fi

rm -rf "$data"/split* # of an earlier run, with other features
utils/copy_data_dir.sh --validate-opts "--no-feats" "$source" "$data"
steps/make_mfcc.sh --nj "$nj" --cmd "$cmd" "$data" "$data/log" "$data/data"
steps/compute_cmvn_stats.sh "$data" "$data/log" "$data/data"
# It removes what has no features; how many, and which, must be seen.
utils/fix_data_dir.sh "$data"
python3 -m hdnn_nnet.bin.check_utterances --max-missing "$max_missing" "$source/utt2spk" "$data/feats.scp"
