#!/usr/bin/env bash
# Store a teacher's soft labels: forward it once over data, and keep in each frame the fewest pdfs that hold a given mass.
# Writes post.scp and post.N.ark (posteriors at temperature 1) and info.json; students then train as fast as by CE.
# Kaldi's programs read what --form kaldi writes; for others, hdnn copy-post (docs/distillation.md).
# usage: make_soft_labels.sh [options] <data-dir> <teacher-dir> <soft-dir>
# e.g.:  make_soft_labels.sh --nj 8 --cmd queue.pl data/train exp/dnn_h2048l6 exp/dnn_h2048l6/soft_train
# Several teachers in quotes are averaged. Data of training and cross-validation belong into one <soft-dir>: give the directory
# that both were split from.

nj=4
cmd=run.py
forward_opts=  # more options for hdnn soft-labels, as one word, for example "--device cuda"
program="soft-labels"
. "$(dirname "$0")/step.sh" || exit 1
data=$1 teacher=$2 dir=$3

soft=(soft-labels "${program_options[@]}" $forward_opts)
check_options "${soft[@]}" "$teacher" "$data" ark:-
need_files "$data/feats.scp"
for t in $teacher; do need_model "$t"; done
nj=$(hdnn data split "$data" "$nj")
lock_output "$dir"
mkdir -p "$dir/log"
dir=$(cd "$dir" && pwd) # so that post.scp holds from any directory
rm -f "$dir/info.json" "$dir/post.scp" "$dir"/post.*.ark "$dir"/post.*.scp "$dir"/stats.*.json
submit $cmd "JOB=1:$nj" "$dir/log/soft.JOB.log" hdnn "${soft[@]}" "--stats=$dir/stats.JOB.json" \
  "$teacher" "$data/split$nj/JOB" "ark,scp:$dir/post.JOB.ark,$dir/post.JOB.scp"
hdnn collect soft-labels "$nj" "$data" "$dir"
