#!/usr/bin/env bash
# Forced alignment of a data directory by a network of ours or of Kaldi's nnet1 (argument order of Kaldi's
# steps/nnet/align.sh); no Kaldi needed. Writes ali.N.gz, and in `unaligned` the utterances that failed.
# Started again after it was stopped, it goes on with the jobs that had not ended, if nothing else has changed.
# usage: align.sh [options] <data-dir> <lang-dir> <src-dir> <align-dir>
# e.g.:  align.sh --nj 8 --cmd run.py data/ihm/train data/lang exp/ihm/hdnn_h128l10 exp/ihm/hdnn_h128l10_ali

nj=4
cmd=run.py
scale_opts=    # more options for hdnn align nnet, as one word, for example "--acoustic-scale=0.1 --self-loop-scale=0.1"
forward_opts=  # likewise, for example "--device cuda"
max_missing=   # share of utterances that may fail to align; default: that of hdnn collect ali --max-failed
program="align nnet"
. "$(dirname "$0")/step.sh" || exit 1
. "$(dirname "$0")/parts.sh"
data=$1 lang=$2 src=$3 dir=$4

align=(align nnet "${program_options[@]}" $scale_opts $forward_opts)
collect=(collect ali ${max_missing:+"--max-failed=$max_missing"} --lang-dir "$lang" "$data" "$src" "$dir")
check_options "${align[@]}" "$data" "$lang" "$src" "$dir"
check_options "${collect[@]}"
need_files "$data"/{feats.scp,text} "$lang"/{L.fst,words.txt,phones.txt,oov.int} "$src"/{final.mdl,tree}
need_model "$src"
lock_output "$dir"
mkdir -p "$dir/log"
limit_jobs "$(wc -l < "$data/feats.scp")"
begin_parts "$dir" "${align[*]}" "$data/feats.scp" "$data"/{text,utt2spk} "$lang"/{L.fst,words.txt,oov.int} \
  "$src"/{model.json,final.*,*_opts,*counts,tree} -- \
  "$dir"/ali.*.gz "$dir"/unaligned "$dir"/unaligned.* "$dir"/num_jobs "$dir"/final.mdl
submit_parts "$dir" "$dir/log/align.JOB.log" hdnn "${align[@]}" --num-jobs "$nj" --job JOB "$data" "$lang" "$src" "$dir"
collect_alignments "$dir" "${collect[@]}"
echo "$0: $(said_in "$dir/log/collect.log" "$dir: ")"
