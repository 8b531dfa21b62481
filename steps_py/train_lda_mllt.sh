#!/usr/bin/env bash
# Triphones over LDA + MLLT features, with the schedule and the output files of Kaldi's steps/train_lda_mllt.sh; no Kaldi needed.
# There are as many processes, and parts of the new alignments, as <ali-dir> has parts, or --nj.
# usage: train_lda_mllt.sh [options] <leaves> <gaussians> <data-dir> <lang-dir> <ali-dir> <exp-dir>
# e.g.:  train_lda_mllt.sh --cmd run.py 2500 15000 data/ihm/train data/lang exp/ihm/tri1_ali exp/ihm/tri3a

cmd=run.py
stage=0  # 1: only check that the result is there
program="train lda-mllt"
. "$(dirname "$0")/step.sh" || exit 1
data=$3 lang=$4 ali=$5 dir=$6 log=$6/log/train.log

train=(train lda-mllt "${program_options[@]}" "$@")
check_options "${train[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$ali"/{final.mdl,ali.1.gz,num_jobs} \
  "$lang"/{topo,L.fst,words.txt,oov.int,phones/{sets,roots,optional_silence}.int,phones/{silence,context_indep}.csl}
lock_output "$dir"
mkdir -p "$dir/log"
# One thread a process: the processes are the parallelism, and BLAS threads would only get in their way.
if [ "$stage" -le 0 ]; then
  follow "$(basename "$dir")" "$log"
  submit $cmd "$log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 hdnn "${train[@]}"
  stop_following
fi
need_output "$log" "$dir"/{final.mdl,final.mat,full.mat,tree,num_jobs,ali.1.gz}
echo "$0: $(said_in "$log" "$dir: ")"
