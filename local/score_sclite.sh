#!/usr/bin/env bash
# Score a decode directory with NIST's sclite, as Kaldi's AMI recipe does for close-talking microphones: words with
# times against the data's stm, both rewritten by its glm. Needs sclite's hubscr.pl on PATH (Debian package sctk, or
# Kaldi's tools). Results lie in ascore_N/<data>.ctm.filt.sys for every LM weight N.
# usage: score_sclite.sh [options] <data-dir> <lang-dir|graph-dir> <decode-dir>
# e.g.:  score_sclite.sh --min-lmwt 7 --max-lmwt 15 data/ihm/dev exp/ihm/tri4a/graph exp/ihm/hdnn_h128l10/decode_dev

cmd=run.py
stage=0
min_lmwt=7
max_lmwt=15
word_ins_penalty=0.0
model=              # transition model; default: final.mdl of the directory above <decode-dir>
program="ctm"
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
data=$1 lang=$2 dir=$3
model=${model:-$(dirname "$dir")/final.mdl}

ctm=(ctm "${program_options[@]}" --min-lmwt "$min_lmwt" --max-lmwt "$max_lmwt" --word-ins-penalty "$word_ins_penalty"
  "$data" "$lang" "$model" "$dir")
check_options "${ctm[@]}"
need_files "$data/stm" "$data/glm" "$lang/words.txt" "$lang/phones/word_boundary.int" "$model" "$dir/lat.1.gz"
hubscr=$(command -v hubscr.pl || true)
# Debian's sctk keeps the programs in a directory of its own, which only its wrapper knows.
if [ -z "$hubscr" ] && command -v sctk > /dev/null; then
  hubscr=$(sed -n 's/^SCTK_PATH=//p' "$(command -v sctk)")/hubscr.pl
fi
if [ -z "$hubscr" ] || [ ! -f "$hubscr" ]; then
  fail "sclite's hubscr.pl is not on PATH; install the Debian package sctk"
fi

lock_output "$dir"
name=$(basename "$data")
if [ "$stage" -le 0 ]; then
  submit $cmd "$dir/log/ctm.log" hdnn "${ctm[@]}"
fi
if [ "$stage" -le 1 ]; then
  for lmwt in $(seq "$min_lmwt" "$max_lmwt"); do
    cp "$data/stm" "$dir/ascore_$lmwt/stm"
    rm -f "$dir/ascore_$lmwt/$name".ctm.filt* # of an earlier run
  done
  submit $cmd "LMWT=$min_lmwt:$max_lmwt" "$dir/log/sclite.LMWT.log" \
    PATH="$(dirname "$hubscr"):$PATH" perl "$hubscr" -p "$(dirname "$hubscr")" -V -l english -h hub5 -g "$data/glm" \
    -r "$dir/ascore_LMWT/stm" "$dir/ascore_LMWT/$name.ctm"
fi
# The row of sums: sentences, words, then the percentages correct, sub, del, ins, error and sentence error.
best=
for lmwt in $(seq "$min_lmwt" "$max_lmwt"); do
  sys=$dir/ascore_$lmwt/$name.ctm.filt.sys
  if [ ! -f "$sys" ]; then
    fail "sclite wrote no $sys; see $dir/log/sclite.$lmwt.log"
  fi
  wer=$(awk '/Sum\/Avg/ { gsub(/\|/, " "); print $8; exit }' "$sys")
  echo "$wer $lmwt $sys"
done | sort -n -k 1,1 -k 2,2 > "$dir/ascore_wer"
read -r best lmwt sys < "$dir/ascore_wer"
echo "%WER $best by sclite at LM weight $lmwt, insertion penalty $word_ins_penalty: $sys"
