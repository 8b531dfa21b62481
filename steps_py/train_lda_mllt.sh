#!/usr/bin/env bash
# Triphones over LDA + MLLT features, with the schedule and the output files of Kaldi's steps/train_lda_mllt.sh; no Kaldi needed.
# There are as many processes, and parts of the new alignments, as <ali-dir> has parts, or --nj.
# usage: train_lda_mllt.sh [options] <leaves> <gaussians> <data-dir> <lang-dir> <ali-dir> <exp-dir>
# e.g.:  train_lda_mllt.sh --cmd run.py 2500 15000 data/ihm/train data/lang exp/ihm/tri1_ali exp/ihm/tri3a

program="train lda-mllt"
. "$(dirname "$0")/gmm_job.sh" || exit 1
data=$3 lang=$4 ali=$5 dir=$6

train=(train lda-mllt "${program_options[@]}" "$@")
check_options "${train[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$ali"/{final.mdl,ali.1.gz,num_jobs} \
  "$lang"/{topo,L.fst,words.txt,oov.int,phones/{sets,roots,optional_silence}.int,phones/{silence,context_indep}.csl}
gmm_job "$dir" "final.mdl final.mat full.mat tree num_jobs ali.1.gz" "${train[@]}"
