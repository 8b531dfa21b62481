#!/usr/bin/env bash
# Speaker-adaptive training on deltas or LDA + MLLT features, with the schedule and the output files of Kaldi's
# steps/train_sat.sh; no Kaldi needed. The features are those of <ali-dir>, whose transforms are taken if it has any.
# There are as many processes, and parts of the new alignments, as <ali-dir> has parts, or --nj.
# usage: train_sat.sh [options] <leaves> <gaussians> <data-dir> <lang-dir> <ali-dir> <exp-dir>
# e.g.:  train_sat.sh --cmd run.py 2500 15000 data/ihm/train data/lang exp/ihm/tri3a_ali exp/ihm/tri4a

program="train sat"
. "$(dirname "$0")/gmm_job.sh" || exit 1
data=$3 lang=$4 ali=$5 dir=$6

train=(train sat "${program_options[@]}" "$@")
check_options "${train[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$ali"/{final.mdl,ali.1.gz,num_jobs} \
  "$lang"/{topo,L.fst,words.txt,oov.int,phones/{sets,roots,optional_silence}.int,phones/{silence,context_indep}.csl}
gmm_job "$dir" "final.mdl final.alimdl trans.1 tree num_jobs ali.1.gz" "${train[@]}"
