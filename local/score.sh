#!/usr/bin/env bash
# Word error rates of a decode directory: wer_N_P for every LM weight N and insertion penalty P, details in
# scoring_kaldi/. One process reads every lattice once. Where sclite is installed and the data has stm and glm,
# --sclite true also scores with it (local/score_sclite.sh).

# Begin configuration.
cmd=run.py
stage=0
min_lmwt=4
max_lmwt=15
word_ins_penalty=0.0,0.5,1.0
filter=              # words to leave out or replace, such as local/wer_filter; none by default, as Kaldi's score_kaldi.sh
allow_missing=false  # score although utterances have no lattice
sclite=false
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: $0 [options] <data-dir> <lang-dir|graph-dir> <decode-dir>" >&2
  echo "e.g.:  $0 --min-lmwt 4 --max-lmwt 15 data/ihm/dev exp/ihm/tri4a/graph exp/ihm/hdnn_h128l10/decode_dev" >&2
  echo "options: --cmd, --stage, --min-lmwt, --max-lmwt, --word-ins-penalty 0.0,0.5,1.0, --filter <file>," >&2
  echo "  --allow-missing true|false, --sclite true|false" >&2
  exit 1
fi
data=$1
lang=$2
dir=$3

for f in "$data/text" "$data/utt2spk" "$lang/words.txt" "$dir/num_jobs" "$dir/lat.1.gz"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done

if [ "$stage" -le 0 ]; then
  options=(--min-lmwt "$min_lmwt" --max-lmwt "$max_lmwt" --word-ins-penalty "$word_ins_penalty")
  if [ -n "$filter" ]; then options+=(--filter "$filter"); fi
  $cmd "$dir/log/score.log" \
    python3 -m hdnn_nnet.bin.score "${options[@]}" --allow-missing "$allow_missing" "$data" "$lang" "$dir"
  cat "$dir/scoring_kaldi/best_wer"
fi
if [ "$sclite" = true ]; then
  local/score_sclite.sh --cmd "$cmd" --min-lmwt "$min_lmwt" --max-lmwt "$max_lmwt" "$data" "$lang" "$dir"
fi
