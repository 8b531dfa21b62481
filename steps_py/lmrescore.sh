#!/usr/bin/env bash
# Lattices of a decode directory with another language model, and their word error rates; the arguments of Kaldi's lmrescore.sh.
# Both lang directories must have the same words.txt.
# usage: lmrescore.sh [options] <old-lang-dir> <new-lang-dir> <data-dir> <decode-dir> <new-decode-dir>
# e.g.:  lmrescore.sh data/own/lang_tg data/own/lang_whole data/own/fbank/dev exp/own/hdnn/decode_dev exp/own/hdnn/decode_dev_whole

cmd=run.py
stage=0             # 1 skips rescoring and only scores
skip_scoring=false
scoring_opts="--min-lmwt 4 --max-lmwt 15" # for local/score.sh
. "$(dirname "$0")/step.sh" || exit 1
old=$1 new=$2 data=$3 source=$4 dir=$5

need_files "$old"/{G.fst,words.txt} "$new"/{G.fst,words.txt} "$data"/{text,utt2spk} "$source"/{num_jobs,lat.1.gz}
nj=$(cat "$source/num_jobs")
if [ "$stage" -le 0 ]; then
  lock_output "$dir"
  mkdir -p "$dir/log"
  rm -rf "$dir"/lat.*.gz "$dir"/wer_* "$dir"/scoring_kaldi # of an earlier run
  put "$dir/num_jobs" "$nj"
  submit $cmd "JOB=1:$nj" "$dir/log/lmrescore.JOB.log" \
    hdnn lattice rescore "$old" "$new" "$source/lat.JOB.gz" "ark:|gzip -c > $dir/lat.JOB.gz"
  echo "$0: $(hdnn check lattices "$data" "$dir")"
fi
if $skip_scoring; then exit 0; fi
# shellcheck disable=SC2086 # several words
submit local/score.sh --cmd "$cmd" $scoring_opts "$data" "$new" "$dir"
