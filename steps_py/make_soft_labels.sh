#!/usr/bin/env bash
# Store a teacher's soft labels: forward it once over data, and keep in each frame the fewest pdfs that hold a given mass.
# Writes post.scp and post.N.ark (posteriors at temperature 1) and info.json; students then train as fast as by CE.
# Kaldi's programs read what --form kaldi writes; for others, hdnn copy-post (docs/distillation.md).
# usage: make_soft_labels.sh [options] <data-dir> <teacher-dir> <soft-dir>
# e.g.:  make_soft_labels.sh --nj 8 --cmd queue.pl data/train exp/dnn_h2048l6 exp/dnn_h2048l6/soft_train
# Several teachers in quotes are averaged. Data of training and cross-validation belong into one <soft-dir>: give the directory
# that both were split from.
# Started again after it was stopped, it goes on with the jobs that had not ended, if nothing else has changed.

nj=4
cmd=run.py
forward_opts=  # more options for hdnn soft-labels, as one word, for example "--device cuda"
program="soft-labels"
. "$(dirname "$0")/step.sh" || exit 1
. "$(dirname "$0")/parts.sh"
data=$1 teacher=$2 dir=$3

soft=(soft-labels "${program_options[@]}" $forward_opts)
check_options "${soft[@]}" "$teacher" "$data" ark:-
need_files "$data/feats.scp"
inputs=()
for t in $teacher; do
  need_model "$t"
  inputs+=("$t"/{model.json,final.*,*_opts})
done
nj=$(hdnn data split "$data" "$nj")
lock_output "$dir"
mkdir -p "$dir/log"
dir=$(cd "$dir" && pwd) # so that post.scp holds from any directory
begin_parts "$dir" "${soft[*]} $teacher" "$data/feats.scp" "${inputs[@]}" "$data/utt2spk" -- \
  "$dir/info.json" "$dir/post.scp" "$dir"/post.*.ark "$dir"/post.*.scp "$dir"/stats.*.json
submit_parts "$dir" "$dir/log/soft.JOB.log" hdnn "${soft[@]}" "--stats=$dir/stats.JOB.json" \
  "$teacher" "$data/split$nj/JOB" "ark,scp:$dir/post.JOB.ark,$dir/post.JOB.scp"
hdnn collect soft-labels "$nj" "$data" "$dir" || { end_parts "$dir" && exit 1; } # what ended well is not whole
end_parts "$dir"
