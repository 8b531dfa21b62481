#!/usr/bin/env bash
# Denominator lattices for sequence training: decode the training data with a unigram grammar of its transcripts
# (argument order of Kaldi's steps/nnet/make_denlats.sh). Writes lat.scp with absolute paths to the uncompressed
# lat.N.ark, and the graph in dengraph/. Takes Kaldi's latgen-faster-mapped where it is on PATH, else our own on k2.

# Begin configuration.
nj=4
cmd=run.py
beam=13.0
lattice_beam=7.0
acwt=0.1
min_active=200
max_active=5000
max_mem=20000000    # of Kaldi's determinisation, in bytes
num_threads=1       # more than 1: latgen-faster-mapped-parallel; only with Kaldi's decoder
decoder=auto        # kaldi, k2, or auto: kaldi where it is on PATH
dengraph=           # graph directory to take; default: made in <denlats-dir>/dengraph unless it is up to date
mkgraph_opts=       # options of steps_py/mkgraph.sh
forward_opts=       # options of the forward program, for example "--device cuda"
latgen_opts=        # further options of the decoder
max_missing=0.05    # share of utterances that may have no lattice
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
. decoder.sh || exit 1
set -euo pipefail

if [ $# -ne 4 ]; then
  echo "usage: $0 [options] <data-dir> <lang-dir> <src-dir> <denlats-dir>" >&2
  echo "e.g.:  $0 --nj 8 --cmd run.py data/ihm/train data/lang exp/ihm/hdnn_h128l10 exp/ihm/hdnn_h128l10_denlats" >&2
  echo "options: --nj, --cmd, --beam, --lattice-beam, --acwt, --min-active, --max-active, --max-mem, --num-threads," >&2
  echo "  --decoder auto|kaldi|k2, --dengraph, --mkgraph-opts, --forward-opts, --latgen-opts, --max-missing" >&2
  exit 1
fi
data=$1
lang=$2
src=$3
dir=$4

required=("$data/feats.scp" "$data/utt2spk" "$lang/words.txt" "$src/final.mdl")
if [ -n "$dengraph" ]; then
  required+=("$dengraph/HCLG.fst")
else
  required+=("$data/text" "$lang/L_disambig.fst" "$lang/phones/disambig.int" "$lang/oov.int" "$src/tree")
fi
for f in "${required[@]}"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done
if [ ! -f "$src/model.json" ] && [ ! -f "$src/final.nnet" ]; then
  echo "$0: $src is no model directory (model.json or final.nnet)" >&2
  exit 1
fi
choose_decoder "$decoder" "$num_threads"

mkdir -p "$dir/log"
dir=$(cd "$dir" && pwd) # so that lat.scp holds from any directory
if [ -z "$dengraph" ]; then
  dengraph=$dir/dengraph
  echo "$0: $(python3 -m hdnn_nnet.bin.unigram_lang "$data" "$lang" "$src" "$dir/lang")"
  # shellcheck disable=SC2086
  "$(dirname "$0")/mkgraph.sh" --cmd "$cmd" $mkgraph_opts "$dir/lang" "$src" "$dengraph"
fi

nj=$(python3 -m hdnn_nnet.bin.split_data "$data" "$nj")
# What an earlier run left must not pass for the result of this one.
rm -f "$dir"/lat.scp "$dir"/lat.*.scp "$dir"/lat.*.ark
echo "$nj" > "$dir/num_jobs"
# As in Kaldi's step, an utterance whose search ends in no final state gets no lattice.
died=false
# shellcheck disable=SC2086
decode_jobs "$nj" "$dir/log/decode_den.JOB.log" "$forward_opts" "$src" "$data/split$nj" \
  "ark,scp:$dir/lat.JOB.ark,$dir/lat.JOB.scp" \
  "--min-active=$min_active" "--max-active=$max_active" "--max-mem=$max_mem" "--beam=$beam" \
  "--lattice-beam=$lattice_beam" "--acoustic-scale=$acwt" "--word-symbol-table=$lang/words.txt" $latgen_opts \
  "$src/final.mdl" "$dengraph/HCLG.fst" || died=true
if $died; then max_missing=0; fi # the utterances of a job that died are named, and none of them may be missing
counts=$(python3 -m hdnn_nnet.bin.collect_lattices --max-missing "$max_missing" "$nj" "$data" "$src" "$dir")
if $died; then
  rm -f "$dir/lat.scp"
  echo "$0: a job died (see above), $counts; make the lattices again" >&2
  exit 1
fi
echo "$0: $counts in $dir/lat.scp ($decoder decoder, $nj jobs)"
