#!/usr/bin/env bash
# Decode a data directory with a network of ours: lattices lat.N.gz, and their word error rates.
# Takes Kaldi's latgen-faster-mapped where it is on PATH, else our own decoder on k2; both write Kaldi lattices.

# Begin configuration.
nj=4
cmd=run.py
stage=0             # 1 skips decoding and only scores
srcdir=             # model directory; default: the one above <decode-dir>
model=              # transition model; default: final.mdl of the model directory
acwt=0.1            # acoustic scale; matters for pruning only, scoring tries many
beam=13.0
lattice_beam=8.0
min_active=200
max_active=7000
max_mem=50000000    # of Kaldi's determinisation, in bytes
num_threads=1       # more than 1: latgen-faster-mapped-parallel; only with Kaldi's decoder
decoder=auto        # kaldi, k2, or auto: kaldi where it is on PATH
adapt_dir=          # directory of steps_py/adapt.sh: each speaker is decoded with his own parameters
forward_opts=       # options of the forward program
latgen_opts=        # further options of the decoder
max_missing=0       # share of utterances that may fail to decode
skip_scoring=false
scoring_opts="--min-lmwt 4 --max-lmwt 15"
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
. decoder.sh || exit 1
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: $0 [options] <graph-dir> <data-dir> <decode-dir>" >&2
  echo "e.g.:  $0 --nj 8 --cmd run.py exp/ihm/tri4a/graph data/ihm/dev exp/ihm/hdnn_h128l10/decode_dev" >&2
  echo "The model directory is the one above <decode-dir>, or --srcdir." >&2
  echo "options: --nj, --cmd, --stage, --srcdir, --model, --acwt, --beam, --lattice-beam, --min-active, --max-active," >&2
  echo "  --max-mem, --num-threads, --decoder auto|kaldi|k2, --adapt-dir, --forward-opts, --latgen-opts," >&2
  echo "  --max-missing, --skip-scoring true|false, --scoring-opts '<options of local/score.sh>'" >&2
  exit 1
fi
graphdir=$1
data=$2
dir=$3
if [ -z "$srcdir" ]; then srcdir=$(dirname "$dir"); fi
if [ -z "$model" ]; then model=$srcdir/final.mdl; fi

if [ "$stage" -le 0 ]; then
  for f in "$graphdir/HCLG.fst" "$graphdir/words.txt" "$data/feats.scp" "$data/utt2spk" "$model" "$srcdir/model.json"; do
    if [ ! -f "$f" ]; then
      echo "$0: $f does not exist" >&2
      exit 1
    fi
  done

  if [ -n "$adapt_dir" ]; then
    if [ ! -f "$adapt_dir/index.json" ]; then
      echo "$0: $adapt_dir/index.json does not exist; adapt with steps_py/adapt.sh" >&2
      exit 1
    fi
    forward_opts="--adapt-dir=$adapt_dir $forward_opts"
  fi
  choose_decoder "$decoder" "$num_threads"
  nj=$(python3 -m hdnn_nnet.bin.split_data "$data" "$nj")
  sdata=$data/split$nj
  mkdir -p "$dir/log"
  # What an earlier run left would hide missing lattices, or pass for the result of this one.
  rm -rf "$dir"/lat.*.gz "$dir"/wer_* "$dir"/scoring_kaldi
  echo "$nj" > "$dir/num_jobs"
  died=false
  # shellcheck disable=SC2086
  decode_jobs "$nj" "$dir/log/decode.JOB.log" "$forward_opts" "$srcdir" "$sdata" "ark:|gzip -c > $dir/lat.JOB.gz" \
    "--min-active=$min_active" "--max-active=$max_active" "--max-mem=$max_mem" "--beam=$beam" \
    "--lattice-beam=$lattice_beam" "--acoustic-scale=$acwt" --allow-partial=true \
    "--word-symbol-table=$graphdir/words.txt" $latgen_opts "$model" "$graphdir/HCLG.fst" || died=true
  # After a job that died too: it names the utterances that are missing.
  counts=$(python3 -m hdnn_nnet.bin.check_lattices --max-missing "$max_missing" "$data" "$dir")
  if $died; then
    echo "$0: a decoding job died (see above), $counts; decode again" >&2
    exit 1
  fi
  partial=$(cat "$dir"/log/decode.*.log | grep -ciE 'partial (lattice|traceback)|no final state|no final-state' || true)
  if [ -n "$adapt_dir" ]; then
    independent=$(cat "$dir"/log/decode.*.log | grep -c 'uses the independent parameters' || true)
    adapted=$(($(cut -d ' ' -f 2 "$data/utt2spk" | sort -u | wc -l) - independent))
    counts="$counts, $adapted speakers adapted, $independent independent"
  fi
  echo "$0: $counts ($decoder decoder, $nj jobs, $partial partial)"
fi

if [ "$skip_scoring" != true ]; then
  # shellcheck disable=SC2086
  if [ "$max_missing" != 0 ]; then scoring_opts="$scoring_opts --allow-missing true"; fi
  # shellcheck disable=SC2086
  local/score.sh --cmd "$cmd" $scoring_opts "$data" "$graphdir" "$dir"
fi
