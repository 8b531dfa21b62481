#!/usr/bin/env bash
# Forced alignment of a data directory by a GMM on its speaker-independent features, deltas or LDA; no Kaldi needed.
# Started again after it was stopped, it goes on with the jobs that had not ended, if nothing else has changed.
# usage: align_si.sh [options] <data-dir> <lang-dir> <src-dir> <ali-dir>
# e.g.:  align_si.sh --nj 4 --cmd run.py data/ihm/train data/lang exp/ihm/mono exp/ihm/mono_ali

nj=4
cmd=run.py
max_failed=  # share of utterances that may fail to align; default: that of hdnn collect ali
program="align gmm"
. "$(dirname "$0")/step.sh" || exit 1
. "$(dirname "$0")/parts.sh"
data=$1 lang=$2 src=$3 dir=$4

collect=(collect ali ${max_failed:+"--max-failed=$max_failed"} "$data" "$src" "$dir")
check_options align gmm "${program_options[@]}" "$data" "$lang" "$src" "$dir"
check_options "${collect[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$lang"/{L.fst,words.txt,oov.int} "$src"/{final.mdl,tree}
lock_output "$dir"
mkdir -p "$dir/log"
limit_jobs "$(cut -d ' ' -f 2 "$data/utt2spk" | sort -u | wc -l)" # speakers stay together, as in Kaldi's split data
begin_parts "$dir" "align gmm ${program_options[*]}" "$data/feats.scp" "$data"/{cmvn.scp,text,utt2spk} \
  "$lang"/{L.fst,words.txt,oov.int} "$src"/{final.*,*_opts,tree} -- \
  "$dir"/ali.*.gz "$dir"/unaligned "$dir"/unaligned.* "$dir"/num_jobs
submit_parts "$dir" "$dir/log/align.JOB.log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  hdnn align gmm "${program_options[@]}" --num-jobs "$nj" --job JOB "$data" "$lang" "$src" "$dir"
collect_alignments "$dir" "${collect[@]}"
echo "$0: $(said_in "$dir/log/collect.log" "$dir: ")"
