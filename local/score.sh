#!/usr/bin/env bash
# Word error rates of a decode directory: wer_N_P for every LM weight N and insertion penalty P; details and 95 % intervals
# in scoring_kaldi/. One process reads every lattice once. Where sclite is installed and the data has stm and glm,
# --sclite true also scores with it (local/score_sclite.sh).
# usage: score.sh [options] <data-dir> <lang-dir|graph-dir> <decode-dir>
# e.g.:  score.sh --min-lmwt 4 --max-lmwt 15 data/ihm/dev exp/ihm/tri4a/graph exp/ihm/hdnn_h128l10/decode_dev

cmd=run.py
stage=0
min_lmwt=4
max_lmwt=15
sclite=false
program="score"
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
data=$1 lang=$2 dir=$3

weights=(--min-lmwt "$min_lmwt" --max-lmwt "$max_lmwt")
score=(score "${program_options[@]}" "${weights[@]}" "$data" "$lang" "$dir")
check_options "${score[@]}"
need_files "$data"/{text,utt2spk} "$lang/words.txt" "$dir"/{num_jobs,lat.1.gz}
lock_output "$dir"
if [ "$stage" -le 0 ]; then
  submit $cmd "$dir/log/score.log" hdnn "${score[@]}"
  cat "$dir/scoring_kaldi/best_wer"
  if [ -f "$dir/scoring_kaldi/best_wer_interval" ]; then cat "$dir/scoring_kaldi/best_wer_interval"; fi
fi
if $sclite; then submit "$(dirname "$0")/score_sclite.sh" --cmd "$cmd" "${weights[@]}" "$data" "$lang" "$dir"; fi
