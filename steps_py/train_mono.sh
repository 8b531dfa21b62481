#!/usr/bin/env bash
# Monophone GMM from a flat start, with the schedule and the output files of Kaldi's steps/train_mono.sh; no Kaldi needed.
# usage: train_mono.sh [options] <data-dir> <lang-dir> <exp-dir>
# e.g.:  train_mono.sh --nj 4 --cmd run.py data/ihm/train data/lang exp/ihm/mono

nj=4     # processes
program="train mono"
. "$(dirname "$0")/gmm_job.sh" || exit 1
data=$1 lang=$2 dir=$3

train=(train mono "${program_options[@]}" --nj "$nj" "$data" "$lang" "$dir")
check_options "${train[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$lang"/{topo,L.fst,words.txt,oov.int,phones/{sets,optional_silence}.int}
gmm_job "$dir" "final.mdl tree num_jobs ali.1.gz" "${train[@]}"
