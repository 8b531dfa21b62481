#!/usr/bin/env bash
# Word error rates of GMM systems on their speaker-independent features, stage by stage: a graph and decodings for each.
# <data> holds the sets to decode. By our steps or Kaldi's own. What is there, and newer than its input, is kept.
# usage: gmm_wer.sh [options] <lang-test> <data> <exp-dir> <system>...
# e.g.:  gmm_wer.sh --nj 2 data/mini/lang_tg data/mini/mfcc exp/mini mono tri1 tri3a

nj=30
cmd=run.py
steps=steps_py       # or steps, a link to Kaldi's; utils must then be there too
sets="dev eval"
graph_name=graph     # of the graph directory in each system's
beam=13.0            # the options of decode.sh; conf/decode_gmm.conf fits
# shellcheck disable=SC2034 # read by no one here
first_beam=          # of decode_fmllr.sh, which shares that file
lattice_beam=6.0
acwt=0.083333
max_active=7000
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
. "$(dirname "$0")/took.sh"
lang=$1 data=$2 exp=$3
shift 3

kaldi=false
if [ "$steps" != steps_py ]; then kaldi=true; fi
for system in "$@"; do
  dir=$exp/$system graph=$exp/$system/$graph_name
  need_files "$dir/final.mdl"
  submit steps_py/mkgraph.sh --cmd "$cmd" --use-kaldi $kaldi "$lang" "$dir" "$graph"
  for part in $sets; do
    speakers=$(wc -l < "$data/$part/spk2utt")
    best=$dir/decode_$part/scoring_kaldi/best_wer
    if [ -s "$best" ] && [ "$best" -nt "$graph/HCLG.fst" ] && [ "$best" -nt "$data/$part/feats.scp" ]; then continue; fi
    begin_part
    submit "$steps"/decode.sh --nj $((nj < speakers ? nj : speakers)) --cmd "$cmd" --beam "$beam" --lattice-beam "$lattice_beam" \
      --acwt "$acwt" --max-active "$max_active" "$graph" "$data/$part" "$dir/decode_$part"
    hdnn check lattices "$data/$part" "$dir/decode_$part" > /dev/null
    took "$dir/decode_$part" "WER $(cut -d ' ' -f 2 "$best") %"
  done
done
