#!/usr/bin/env bash
# Estimate the pdf priors of a network from its own posteriors (argument order of Kaldi's steps/nnet/make_priors.sh), as is
# useful after sequence training. Writes <nnet-dir>/prior_counts, which decoding and alignment prefer to
# ali_train_pdf.counts; remove the file to go back.
# usage: make_priors.sh [options] <data-dir> <nnet-dir>
# e.g.:  make_priors.sh --nj 8 --cmd run.py data/ihm/train exp/ihm/hdnn_h128l10_smbr

nj=4
cmd=run.py
num_utts=10000 # utterances that are forwarded at most, chosen at random
forward_opts=  # more options for hdnn prior-counts, as one word, for example "--device cuda"
program="prior-counts"
. "$(dirname "$0")/step.sh" || exit 1
data=$1 dir=$2

count=(prior-counts "${program_options[@]}" "--num-utts=$num_utts" $forward_opts)
check_options "${count[@]}" "$data" "$dir" counts
need_files "$data/feats.scp"
need_model "$dir"
lock_output "$dir"
mkdir -p "$dir/log"
used=$(wc -l < "$data/feats.scp")
if [ "$used" -gt "$num_utts" ]; then used=$num_utts; fi
limit_jobs "$used"
rm -f "$dir"/prior_counts.*
submit $cmd "JOB=1:$nj" "$dir/log/prior_counts.JOB.log" \
  hdnn "${count[@]}" --num-jobs "$nj" --job JOB "$data" "$dir" "$dir/prior_counts.JOB"
parts=()
for ((job = 1; job <= nj; job++)); do parts+=("$dir/prior_counts.$job"); done
counts=$(hdnn collect counts "$dir/prior_counts" "${parts[@]}")
rm -f "${parts[@]}"
echo "$0: $dir/prior_counts: $counts of $used utterances"
