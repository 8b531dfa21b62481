#!/usr/bin/env bash
# Train a student network on a teacher's soft labels, alone or with hard labels.
# usage: train_kd.sh [options] <data-train> <data-cv> <lang-dir> <ali-train> <ali-cv> <teacher> <exp-dir>
# e.g.:  train_kd.sh data/train_tr90 data/train_cv10 data/lang exp/tri4a_ali exp/tri4a_ali exp/dnn_h2048l6/soft exp/hdnn_kd
# <teacher> is a model directory (ours or of steps/nnet/train.sh) that is run on the fly, several of them in quotes (their
# posteriors are averaged), what steps_py/make_soft_labels.sh stored, or a table of posteriors that another system wrote:
# Kaldi's Posterior type, or matrices of posteriors or log-posteriors.

program="train kd"
. "$(dirname "$0")/train_job.sh" || exit 1
data_train=$1 data_cv=$2 lang=$3 ali_train=$4 ali_cv=$5 teacher=$6 dir=$7

train=(train kd "${program_options[@]}" "$teacher" "$data_train" "$data_cv" "$ali_train" "$ali_cv" "$dir")
check_options "${train[@]}"
need_files {"$data_train","$data_cv"}/feats.scp "$lang/phones.txt" "$ali_train/final.mdl" {"$ali_train","$ali_cv"}/ali.1.gz
train_job "$dir" "${train[@]}"
show_training "$dir"
