#!/usr/bin/env bash
# Train a highway or plain deep neural network by frame-level cross-entropy.
# The directory it leaves can be decoded by steps_py/decode.sh; the argument order is that of Kaldi's steps/nnet/train.sh.
# usage: train_ce.sh [options] <data-train> <data-cv> <lang-dir> <ali-train> <ali-cv> <exp-dir>
# e.g.:  train_ce.sh --network hdnn-h128l10 data/train_tr90 data/train_cv10 data/lang exp/tri4a_ali exp/tri4a_ali exp/hdnn

program="train ce"
. "$(dirname "$0")/train_job.sh" || exit 1
data_train=$1 data_cv=$2 lang=$3 ali_train=$4 ali_cv=$5 dir=$6

train=(train ce "${program_options[@]}" "$data_train" "$data_cv" "$ali_train" "$ali_cv" "$dir")
check_options "${train[@]}"
need_files {"$data_train","$data_cv"}/feats.scp "$lang/phones.txt" "$ali_train/final.mdl" {"$ali_train","$ali_cv"}/ali.1.gz
train_job "$dir" "${train[@]}"
show_training "$dir"
