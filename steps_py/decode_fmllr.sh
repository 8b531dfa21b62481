#!/usr/bin/env bash
# Decode with a GMM system in two passes with speaker transforms (arguments of Kaldi's steps/decode_fmllr.sh); no Kaldi needed.
# 1. lattices by final.alimdl (<decode-dir>.si), 2. transforms from them, 3. lattices by final.mdl, 4. transforms again, composed,
# 5. a last search on the final features. Leaves lat.JOB.gz and trans.JOB. Where Kaldi gives the state-level lattices of 3 new
# acoustic scores and then determinises, this searches once more, and takes the narrow beam of 1 in 3. With --rescore true the
# word lattices of 3, by the wide beam, get the scores, and each path keeps its alignment: faster by a search, a little worse.
# Takes Kaldi's latgen-faster-mapped where it is on PATH, else our own decoder.
# Started again after it was stopped, it goes on with the parts of the searches that had not ended, if nothing else has changed.
# usage: decode_fmllr.sh [options] <graph-dir> <data-dir> <decode-dir>
# e.g.:  decode_fmllr.sh --nj 8 --cmd run.py exp/ihm/tri4a/graph data/ihm/dev exp/ihm/tri4a/decode_dev

nj=4
cmd=run.py
stage=0               # 1 takes the first lattices as they are, 2 the transforms too, 3 the second lattices, 4 the composed
                      # transforms, 5 only scores
srcdir=               # model directory; default: the one above <decode-dir>
alignment_model=      # of the first pass; default: final.alimdl of the model directory, else final.mdl
adapt_model=          # transforms are for it, and it makes the lattices; default: final.mdl
final_model=          # gives the final scores; default: final.mdl
si_dir=               # lattices of a first pass that has been; its number of jobs must be the same
first_beam=10.0       # of the searches whose lattices are for transforms only
first_max_active=2000
beam=13.0
rescore=false
lattice_beam=6.0
acwt=0.083333         # acoustic scale
min_active=200
max_active=7000
max_mem=50000000      # of Kaldi's determinisation, in bytes
silence_weight=0.01   # of silence in the estimation of transforms
fmllr_min_count=      # speakers with fewer frames keep the identity; default: that of hdnn gmm fmllr
num_threads=1         # more than 1: latgen-faster-mapped-parallel; only with Kaldi's decoder
decoder=auto          # {auto,kaldi,k2,numpy} auto: kaldi where it is on PATH, else k2 where it is installed, else numpy
latgen_opts=          # more options for the decoder, as one word
max_missing=0         # share of utterances that may fail to decode
skip_scoring=false
scoring_opts="--min-lmwt 4 --max-lmwt 20" # for local/score.sh
. "$(dirname "$0")/step.sh" || exit 1
. "$(dirname "$0")/decoder_jobs.sh"
. "$(dirname "$0")/gains.sh"
graphdir=$1 data=$2 dir=${3%/}
srcdir=${srcdir:-$(dirname "$dir")} scorer="gmm likes" forward_opts=
if [ -z "$alignment_model" ]; then
  alignment_model=$srcdir/final.alimdl
  if [ ! -f "$alignment_model" ]; then alignment_model=$srcdir/final.mdl; fi
fi
adapt_model=${adapt_model:-$srcdir/final.mdl} final_model=${final_model:-$srcdir/final.mdl}

# search <directory> <log> <model> <beam> <max-active> <options of hdnn gmm likes>...: lattices of all jobs, in <directory>.
# What they depend on besides the model is in `inputs`.
search() {
  local beam=$4 max_active=$5 forward_opts="--model=$3 ${*:6}" inputs=("$3" "$graphdir/HCLG.fst" "${inputs[@]}")
  choose_decoder --allow-partial=true "--word-symbol-table=$graphdir/words.txt"
  begin_decoding "$1" "$data" "$srcdir" "$1"/lat.*.gz "$1"/wer_* "$1"/scoring_kaldi
  decode_jobs "$2" "$srcdir" "$sdata" "$3" "$graphdir/HCLG.fst" "ark:|gzip -c > $1/lat.JOB.gz" "$1/.done.JOB" ||
    fail "a decoding job died; see $2; decode again: the parts that ended are kept"
}

# check <directory>: how many utterances have lattices; where too few have, what ended well is not whole.
check() { hdnn check lattices --max-missing "$max_missing" "$data" "$1" || { end_parts "$1" && exit 1; }; }

# transforms <log> <lattices> <table> <options>...: transforms of all speakers from the lattices of all jobs.
transforms() {
  submit $cmd "JOB=1:$nj" "$1" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    hdnn gmm fmllr "${fmllr[@]}" "${@:4}" "$sdata/JOB" "$srcdir" "$2" "$3"
}

fmllr=("--model=$adapt_model" "--acoustic-scale=$acwt" "--silence-phones=$graphdir/phones/silence.csl"
  "--silence-weight=$silence_weight" ${fmllr_min_count:+"--fmllr-min-count=$fmllr_min_count"})
check_options latgen "--beam=$first_beam" "--max-active=$first_max_active" model graph ark:- ark:-
choose_decoder
check_options check lattices --max-missing "$max_missing" "$data" "$dir"
check_options gmm fmllr "${fmllr[@]}" "$data" "$srcdir" lattices transforms
need_files "$graphdir"/{HCLG.fst,words.txt,phones/silence.csl} "$data"/{feats.scp,cmvn.scp,utt2spk} \
  "$alignment_model" "$adapt_model" "$final_model"
nj=$(hdnn data split "$data" "$nj")
sdata=$data/split$nj second=$dir/pass2 # lattices of the second search
lock_output "$dir"
mkdir -p "$dir/log"
if [ -z "$si_dir" ]; then
  si_dir=$dir.si
  if [ "$stage" -le 0 ]; then
    lock_output "$si_dir"
    mkdir -p "$si_dir/log"
    inputs=()
    search "$si_dir" "$si_dir/log/decode.JOB.log" "$alignment_model" "$first_beam" "$first_max_active"
    check "$si_dir" > /dev/null
    # shellcheck disable=SC2086 # several words
    if ! $skip_scoring; then submit local/score.sh --cmd "$cmd" $scoring_opts "$data" "$graphdir" "$si_dir"; fi
  fi
fi
if [ "$(cat "$si_dir/num_jobs")" != "$nj" ]; then fail "$si_dir/num_jobs is not $nj; take the same --nj"; fi
if [ "$stage" -le 1 ]; then
  transforms "$dir/log/fmllr_pass1.JOB.log" "$si_dir/lat.JOB.gz" "$dir/pre_trans.JOB" "--posterior-model=$alignment_model"
fi
if [ "$stage" -le 2 ]; then
  if [ ! -f "$dir/.parts" ]; then rm -rf "$dir"/lat.*.gz "$dir"/wer_* "$dir"/scoring_kaldi; fi
  rm -f "$dir"/trans.*
  put "$dir/num_jobs" "$nj"
  mkdir -p "$second"
  if $rescore; then widths=("$beam" "$max_active"); else widths=("$first_beam" "$first_max_active"); fi
  inputs=("$dir"/pre_trans.*)
  search "$second" "$dir/log/decode_pass2.JOB.log" "$adapt_model" "${widths[@]}" "--transforms=$dir/pre_trans.JOB"
fi
if [ "$stage" -le 3 ]; then
  transforms "$dir/log/fmllr_pass2.JOB.log" "$second/lat.JOB.gz" "$dir/trans.JOB" "--transforms=$dir/pre_trans.JOB"
fi
if [ "$stage" -le 4 ]; then
  if $rescore; then
    submit $cmd "JOB=1:$nj" "$dir/log/acoustic_rescore.JOB.log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
      hdnn gmm rescore "--model=$final_model" "--transforms=$dir/trans.JOB" "--acoustic-scale=$acwt" \
      "--lattice-beam=$lattice_beam" "$sdata/JOB" "$srcdir" "$second/lat.JOB.gz" "ark:|gzip -c > $dir/lat.JOB.gz"
  else
    inputs=("$dir"/trans.*)
    search "$dir" "$dir/log/decode.JOB.log" "$final_model" "$beam" "$max_active" "--transforms=$dir/trans.JOB"
  fi
  counts=$(check "$dir")
  for ended in "$dir.si" "$dir"; do end_parts "$ended"; done # one of --si-dir is not ours
  rm -rf "$second" "$dir"/pre_trans.*
  echo "$0: $counts ($decoder decoder, $nj jobs); transforms gain" \
    "$(gains "$dir"/log/fmllr_pass1.*.log), then $(gains "$dir"/log/fmllr_pass2.*.log)"
fi
if $skip_scoring; then exit 0; fi
if [ "$max_missing" != 0 ]; then scoring_opts="$scoring_opts --allow-missing true"; fi
# shellcheck disable=SC2086 # several words
submit local/score.sh --cmd "$cmd" $scoring_opts "$data" "$graphdir" "$dir"
