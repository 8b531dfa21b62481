#!/usr/bin/env bash
# Adapt a network to the speakers of a data directory, without transcripts. Writes a small file for every speaker with what
# changed (the gates, unless --update says otherwise), and index.json; decode with steps_py/decode.sh --adapt-dir.
# usage: adapt.sh [options] <data-dir> <model-dir> <source> <adapt-dir>
# e.g.:  adapt.sh --nj 8 data/dev exp/hdnn exp/hdnn/decode_dev exp/hdnn/adapt_dev
#        adapt.sh --nj 8 --labels soft data/dev exp/hdnn exp/teacher exp/hdnn/adapt_kd_dev
# <source> by --labels: hard: directory where <model-dir> decoded <data-dir>; soft: model directories of teachers in quotes,
# stored soft labels or a table of posteriors; supervised: alignment directory of <data-dir>.

nj=4
cmd=run.py
labels=      # {hard,soft,supervised} what <source> is; default: hard
lmwt=        # hard: LM weight of the best paths; default: that of hdnn lattice labels
confidence=  # {none,pdf,phone,word} hard: the lattice's confidence in each frame; default likewise
adapt_opts=  # more options for hdnn adapt, as one word, for example "--device cuda"
program="adapt"
. "$(dirname "$0")/step.sh" || exit 1
data=$1 model=$2 source=$3 dir=$4

adapt=(adapt ${labels:+"--labels=$labels"} "${program_options[@]}" $adapt_opts)
best_paths=(lattice labels ${lmwt:+"--lmwt=$lmwt"} ${confidence:+"--confidence=$confidence"})
check_options "${adapt[@]}" "$data" "$model" "$source" "$dir"
check_options "${best_paths[@]}" lat.1.gz final.mdl ark:-
weighting=' --(min-confidence[= ][0.]*[1-9]|weight-frames[= ](true|t|1|yes))'
if [ "${confidence:-none}" = none ] && [[ ${adapt[*]} =~ $weighting ]]; then
  fail "--min-confidence and --weight-frames need --confidence pdf, phone or word"
fi
need_files "$data/feats.scp" "$data/utt2spk" "$model/model.json"
case ${labels:-hard} in
  hard) need_files "$source/num_jobs" "$source/lat.1.gz" "$model/final.mdl" ;;
  supervised) need_files "$source/num_jobs" "$source/final.mdl" ;;
esac
nj=$(hdnn data split "$data" "$nj")
lock_output "$dir"
mkdir -p "$dir/log"
# What an earlier run left must not pass for the result of this one.
rm -f "$dir"/index.json "$dir"/part.*.json "$dir"/spk-*.safetensors "$dir"/post.*
if [ "${labels:-hard}" = hard ]; then
  lattice_jobs=$(cat "$source/num_jobs")
  submit $cmd "JOB=1:$lattice_jobs" "$dir/log/labels.JOB.log" \
    hdnn "${best_paths[@]}" "$source/lat.JOB.gz" "$model/final.mdl" "ark,scp:$dir/post.JOB.ark,$dir/post.JOB.scp"
  put "$dir/post.scp" "$(for ((job = 1; job <= lattice_jobs; job++)); do cat "$dir/post.$job.scp"; done)"
  source=$dir/post.scp
fi
submit $cmd "JOB=1:$nj" "$dir/log/adapt.JOB.log" hdnn "${adapt[@]}" --job JOB "$data/split$nj/JOB" "$model" "$source" "$dir"
counts=$(hdnn collect adapt "$nj" "$data" "$dir")
rm -f "$dir"/post.*
echo "$0: $dir: $counts"
