#!/usr/bin/env bash
# Train a network on lattices by sMBR, MPFE or (boosted) MMI; smoothed by cross-entropy or by a teacher where asked for.
# The counterpart of Kaldi's steps/nnet/train_mpe.sh and train_mmi.sh, whose argument order it has.
# usage: train_smbr.sh [options] <data-dir> <lang-dir> <src-dir> <ali-dir> <denlat-dir> <exp-dir>
# e.g.:  train_smbr.sh --smooth-ce 0.2 data/train data/lang exp/hdnn exp/hdnn_ali exp/hdnn_denlats exp/hdnn_smbr
# With --decode true, lattices are made during training from the graph in <denlat-dir>.

priors=true  # re-estimate prior_counts afterwards
program="train smbr"
. "$(dirname "$0")/train_job.sh" || exit 1
data=$1 lang=$2 srcdir=$3 alidir=$4 denlatdir=$5 dir=$6

train=(train smbr "${program_options[@]}" "$data" "$lang" "$srcdir" "$alidir" "$denlatdir" "$dir")
check_options "${train[@]}"
need_files "$data/feats.scp" "$lang/phones/silence.csl" "$srcdir/model.json" "$alidir/final.mdl" "$alidir/ali.1.gz"
train_job "$dir" "${train[@]}"
if $priors && [ ! "$dir/prior_counts" -nt "$dir/final.safetensors" ]; then "$(dirname "$0")/make_priors.sh" --cmd "$cmd" "$data" "$dir"; fi
show_training "$dir"
