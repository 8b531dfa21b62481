#!/usr/bin/env bash
# Features of a data directory from its wav.scp and segments, with normalisation statistics by speaker; no Kaldi needed.
# Writes feats.scp, utt2num_frames, utt2dur and cmvn.scp, and the archives they point to.

# Begin configuration.
nj=4
cmd=run.py
type=mfcc       # mfcc (13 coefficients) or fbank (40 log-mel energies)
feat_config=    # options of compute-mfcc-feats or compute-fbank-feats; default conf/<type>.conf if it exists
compress=true   # as Kaldi's copy-feats does it
max_missing=0.005 # share of utterances that may be too short for a frame
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  echo "usage: $0 [options] <data-dir> [<log-dir> [<ark-dir>]]" >&2
  echo "e.g.:  $0 --type mfcc --nj 8 --cmd run.py data/ihm/train exp/make_mfcc/train mfcc" >&2
  echo "options: --nj, --cmd, --type mfcc|fbank, --feat-config <file>, --compress true|false, --max-missing <share>" >&2
  exit 1
fi
data=$1
logdir=${2:-$data/log}
arkdir=${3:-$data/data}

for f in "$data/wav.scp" "$data/utt2spk" "$data/spk2utt"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist; prepare the data first" >&2
    exit 1
  fi
done
if [ -z "$feat_config" ] && [ -f "conf/$type.conf" ]; then feat_config=conf/$type.conf; fi
config=()
if [ -n "$feat_config" ]; then
  if [ ! -f "$feat_config" ]; then
    echo "$0: the configuration $feat_config does not exist" >&2
    exit 1
  fi
  config=(--config "$feat_config")
fi

# Absolute, so that the features are found from any directory.
mkdir -p "$logdir" "$arkdir"
arkdir=$(cd "$arkdir" && pwd)
# The name holds the parent directory too: data/ihm/train and data/sdm/train may share an archive directory.
name=$(basename "$(dirname "$(readlink -f "$data")")")_$(basename "$data")
prefix=$arkdir/raw_${type}_$name
if [ -f "$data/segments" ]; then count=$(wc -l < "$data/segments"); else count=$(wc -l < "$data/wav.scp"); fi
if [ "$nj" -gt "$count" ]; then nj=$count; fi

$cmd "JOB=1:$nj" "$logdir/make_${type}_$name.JOB.log" \
  python3 -m hdnn_nnet.bin.make_feats --type "$type" "${config[@]}" --compress "$compress" --num-jobs "$nj" --job JOB \
  "$data" "$prefix"
$cmd "$logdir/collect_${type}_$name.log" \
  python3 -m hdnn_nnet.bin.collect_feats --num-jobs "$nj" --max-missing "$max_missing" \
  --cmvn "$arkdir/cmvn_${type}_$name" "$data" "$prefix"
echo "$0: $(wc -l < "$data/feats.scp") of $count utterances have $type features, $(awk '{n += $2} END {print n}' "$data/utt2num_frames") frames; $data/cmvn.scp has $(wc -l < "$data/cmvn.scp") speakers"
