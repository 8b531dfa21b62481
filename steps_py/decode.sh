#!/usr/bin/env bash
# Decode a data directory with a network of ours, or a GMM on its speaker-independent features: lattices lat.N.gz, and their
# word error rates. A model directory without model.json is a GMM system (decode_fmllr.sh: with speaker transforms).
# Takes Kaldi's latgen-faster-mapped where it is on PATH, else our own decoder; both write Kaldi lattices.
# Started again after it was stopped, it goes on with the parts that had not ended, if nothing else has changed.
# usage: decode.sh [options] <graph-dir> <data-dir> <decode-dir>
# e.g.:  decode.sh --nj 8 --cmd run.py exp/ihm/tri4a/graph data/ihm/dev exp/ihm/hdnn_h128l10/decode_dev

stage=0             # 1 skips decoding and only scores
srcdir=             # model directory; default: the one above <decode-dir>
model=              # transition model; default: final.mdl of the model directory
lattice_beam=8.0
max_active=7000
max_mem=50000000    # of Kaldi's determinisation, in bytes
adapt_dir=          # directory of steps_py/adapt.sh: each speaker is decoded with their own parameters
max_missing=0       # share of utterances that may fail to decode
skip_scoring=false
scoring_opts="--min-lmwt 4 --max-lmwt 15" # for local/score.sh
. "$(dirname "$0")/decoder.sh" || exit 1
graphdir=$1 data=$2 dir=$3
srcdir=${srcdir:-$(dirname "$dir")} model=${model:-$srcdir/final.mdl}

needed=("$srcdir/model.json")
if [ ! -f "$srcdir/model.json" ] && grep -aqs '<DiagGMM>' "$model"; then
  if [ -n "$adapt_dir" ]; then fail "$srcdir is a GMM; --adapt-dir is for networks, decode_fmllr.sh for GMMs"; fi
  scorer="gmm likes" needed=("$data/cmvn.scp") forward_opts="--model=$model $forward_opts"
fi
forward_opts="${adapt_dir:+--adapt-dir=$adapt_dir} $forward_opts"
choose_decoder --allow-partial=true "--word-symbol-table=$graphdir/words.txt"
check=(check lattices --max-missing "$max_missing" "$data" "$dir")
check_options "${check[@]}"
if [ "$stage" -le 0 ]; then
  need_files "$graphdir"/{HCLG.fst,words.txt} "$data"/{feats.scp,utt2spk} "$model" "${needed[@]}"
  if [ -n "$adapt_dir" ] && [ ! -f "$adapt_dir/index.json" ]; then
    fail "$adapt_dir/index.json does not exist; adapt with steps_py/adapt.sh"
  fi
  nj=$(hdnn data split "$data" "$nj")
  lock_output "$dir"
  mkdir -p "$dir/log"
  inputs=("$model" "$graphdir/HCLG.fst" ${adapt_dir:+"$adapt_dir"/*})
  begin_decoding "$dir" "$data" "$srcdir" "$dir"/lat.*.gz "$dir"/wer_* "$dir"/scoring_kaldi
  died=false
  decode_jobs "$dir/log/decode.JOB.log" "$srcdir" "$data/split$nj" "$model" "$graphdir/HCLG.fst" \
    "ark:|gzip -c > $dir/lat.JOB.gz" "$dir/.done.JOB" || died=true
  again="decode again: the parts that ended are kept"
  if ! counts=$(hdnn "${check[@]}"); then # it names the utterances that are missing
    if $died; then fail "a decoding job died; $again"; fi
    end_parts "$dir" # what ended well is not whole
    exit 1
  fi
  if $died; then fail "a decoding job died (see above), $counts; $again"; fi
  partial=$(cat "$dir"/log/decode.*.log | grep -ciE 'partial (lattice|traceback)|no final state|no final-state' || true)
  adapted=$(cat "$dir"/log/decode.*.log | awk '/ speakers adapted, / {a += $(NF - 4); i += $(NF - 1)}
    END {if (a + i) printf ", %d speakers adapted, %d independent", a, i}')
  end_parts "$dir"
  echo "$0: $counts$adapted ($decoder decoder, $nj jobs, $partial partial)"
fi
if $skip_scoring; then exit 0; fi
if [ "$max_missing" != 0 ]; then scoring_opts="$scoring_opts --allow-missing true"; fi
# shellcheck disable=SC2086 # several words
submit local/score.sh --cmd "$cmd" $scoring_opts "$data" "$graphdir" "$dir"
