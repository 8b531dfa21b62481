#!/usr/bin/env bash
# Triphones over delta features, with the schedule and the output files of Kaldi's steps/train_deltas.sh; no Kaldi needed.
# There are as many processes, and parts of the new alignments, as <ali-dir> has parts, or --nj.
# usage: train_deltas.sh [options] <leaves> <gaussians> <data-dir> <lang-dir> <ali-dir> <exp-dir>
# e.g.:  train_deltas.sh --cmd run.py 2000 10000 data/ihm/train data/lang exp/ihm/mono_ali exp/ihm/tri1

program="train deltas"
. "$(dirname "$0")/gmm_job.sh" || exit 1
data=$3 lang=$4 ali=$5 dir=$6

train=(train deltas "${program_options[@]}" "$@")
check_options "${train[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$ali"/{final.mdl,ali.1.gz,num_jobs} \
  "$lang"/{topo,L.fst,words.txt,oov.int,phones/{sets,roots,optional_silence}.int,phones/context_indep.csl}
gmm_job "$dir" "final.mdl tree num_jobs ali.1.gz" "${train[@]}"
