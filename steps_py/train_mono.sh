#!/usr/bin/env bash
# Monophone GMM from a flat start, with the schedule and the output files of Kaldi's steps/train_mono.sh; no Kaldi needed.
# usage: train_mono.sh [options] <data-dir> <lang-dir> <exp-dir>
# e.g.:  train_mono.sh --nj 4 --cmd run.py data/ihm/train data/lang exp/ihm/mono

nj=4     # processes
cmd=run.py
stage=0  # 1: only check that the result is there
program="train mono"
. "$(dirname "$0")/step.sh" || exit 1
data=$1 lang=$2 dir=$3 log=$3/log/train.log

train=(train mono "${program_options[@]}" --nj "$nj" "$data" "$lang" "$dir")
check_options "${train[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$lang"/{topo,L.fst,words.txt,oov.int,phones/{sets,optional_silence}.int}
lock_output "$dir"
mkdir -p "$dir/log"
# One thread a process: the processes are the parallelism, and BLAS threads would only get in their way.
if [ "$stage" -le 0 ]; then
  follow "$(basename "$dir")" "$log"
  submit $cmd "$log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 hdnn "${train[@]}"
  stop_following
fi
need_output "$log" "$dir"/{final.mdl,tree,num_jobs,ali.1.gz}
echo "$0: $(said_in "$log" "$dir: ")"
