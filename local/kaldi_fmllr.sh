#!/usr/bin/env bash
# Speaker-adapted features (fMLLR of a SAT GMM) of train, dev and eval, written to disk so that networks train on them:
# dev and eval are decoded by the GMM for their speakers' transforms, train has them from its alignment.
# <src-data> and <data> hold the directories train, dev and eval. Needs KALDI_ROOT.

# Begin configuration.
nj=30
cmd=run.py
decode_cmd=          # of decoding; default: --cmd
decode_config=conf/decode_gmm.conf
sets="dev eval"      # what is decoded
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 5 ]; then
  echo "usage: $0 [options] <src-data> <gmm-dir> <ali-dir> <graph-dir> <data>" >&2
  echo "e.g.:  $0 --nj 8 data/mfcc exp/tri4a exp/tri4a_ali exp/tri4a/graph data/fmllr" >&2
  echo "options: --nj, --cmd, --decode-cmd, --decode-config, --sets" >&2
  exit 1
fi
source=$1
gmm=$2
ali=$3
graph=$4
data=$5
decode_cmd=${decode_cmd:-$cmd}

for f in "$source/train/feats.scp" "$gmm/final.mdl" "$gmm/final.mat" "$ali/trans.1" "$graph/HCLG.fst"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done

for part in $sets; do
  speakers=$(wc -l < "$source/$part/spk2utt")
  jobs=$((nj < speakers ? nj : speakers))
  dir=$gmm/decode_$part
  # An unfinished decoding has transforms of some jobs only; .decoded is written last. Kaldi's own directories have none.
  if [ -f "$dir/.decoded" ] && [ "$dir/.decoded" -nt "$graph/HCLG.fst" ] && [ "$dir/.decoded" -nt "$source/$part/feats.scp" ]; then
    echo "$0: $dir is up to date" >&2
  elif [ -L "$dir" ]; then
    echo "$0: transforms of $part as they are in $(readlink "$dir")" >&2
  else
    rm -rf "$dir" "$dir.si"
    steps/decode_fmllr.sh --nj "$jobs" --cmd "$decode_cmd" --config "$decode_config" "$graph" "$source/$part" "$dir"
    python3 -m hdnn_nnet.bin.check_lattices "$source/$part" "$dir"
    touch "$dir/.decoded"
  fi
done
for part in train $sets; do
  dir=$data/$part
  transforms=$gmm/decode_$part
  if [ "$part" = train ]; then transforms=$ali; fi
  speakers=$(wc -l < "$source/$part/spk2utt")
  rm -rf "$dir"/split*
  steps/nnet/make_fmllr_feats.sh --nj $((nj < speakers ? nj : speakers)) --cmd "$cmd" --transform-dir "$transforms" \
    "$dir" "$source/$part" "$gmm" "$dir/log" "$dir/data"
  # A speaker without a transform is left out by transform-feats with a warning only.
  python3 -m hdnn_nnet.bin.check_utterances "$source/$part/feats.scp" "$dir/feats.scp"
  utils/fix_data_dir.sh "$dir"
done
