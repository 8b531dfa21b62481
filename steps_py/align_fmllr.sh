#!/usr/bin/env bash
# Forced alignment in two passes with speaker transforms (argument order of Kaldi's steps/align_fmllr.sh); no Kaldi needed.
# Writes ali.JOB.gz and trans.JOB. The first pass takes final.alimdl if <src-dir> has one.
# Started again after it was stopped, it goes on with the jobs that had not ended, if nothing else has changed.
# usage: align_fmllr.sh [options] <data-dir> <lang-dir> <src-dir> <ali-dir>
# e.g.:  align_fmllr.sh --nj 4 --cmd run.py data/ihm/train data/lang exp/ihm/tri4a exp/ihm/tri4a_ali

nj=4
cmd=run.py
max_failed=  # share of utterances that may fail to align; default: that of hdnn collect ali
program="align fmllr"
. "$(dirname "$0")/step.sh" || exit 1
. "$(dirname "$0")/parts.sh"
. "$(dirname "$0")/gains.sh"
data=$1 lang=$2 src=$3 dir=$4

collect=(collect ali ${max_failed:+"--max-failed=$max_failed"} "$data" "$src" "$dir")
check_options align fmllr "${program_options[@]}" "$data" "$lang" "$src" "$dir"
check_options "${collect[@]}"
need_files "$data"/{feats.scp,cmvn.scp,text,utt2spk} "$lang"/{L.fst,words.txt,oov.int,phones/silence.csl} \
  "$src"/{final.mdl,tree}
lock_output "$dir"
mkdir -p "$dir/log"
limit_jobs "$(cut -d ' ' -f 2 "$data/utt2spk" | sort -u | wc -l)"
inputs=()
for word in "${program_options[@]}"; do
  if [[ $word == --originals-ali=* ]]; then inputs+=("${word#*=}"/ali.*.gz); fi
done
begin_parts "$dir" "align fmllr ${program_options[*]}" "$data/feats.scp" "$data"/{cmvn.scp,text,utt2spk} \
  "$lang"/{L.fst,words.txt,oov.int,phones/silence.csl} "$src"/{final.*,*_opts,tree} "${inputs[@]}" -- \
  "$dir"/ali.*.gz "$dir"/unaligned "$dir"/unaligned.* "$dir"/num_jobs "$dir"/trans.* "$dir"/log/align.*.log
submit_parts "$dir" "$dir/log/align.JOB.log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  hdnn align fmllr "${program_options[@]}" --num-jobs "$nj" --job JOB "$data" "$lang" "$src" "$dir"
collect_alignments "$dir" "${collect[@]}"
echo "$0: $(said_in "$dir/log/collect.log" "$dir: "); transforms gain $(gains "$dir"/log/align.*.log)"
