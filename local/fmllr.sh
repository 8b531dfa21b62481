#!/usr/bin/env bash
# Speaker-adapted features (fMLLR of a SAT GMM) of train, dev and eval, written to disk so that networks train on them:
# dev and eval are decoded by the GMM for their speakers' transforms, train has them from its alignment.
# <src-data> and <data> hold the directories train, dev and eval (--train, --sets). By our steps or Kaldi's own.
# usage: fmllr.sh [options] <src-data> <gmm-dir> <ali-dir> <graph-dir> <data>
# e.g.:  fmllr.sh --nj 8 data/mfcc exp/tri4a exp/tri4a_ali exp/tri4a/graph data/fmllr

nj=30
cmd=run.py
steps=steps_py       # or steps, a link to Kaldi's; utils must then be there too
decode_cmd=          # of decoding; default: --cmd
decode_config=conf/decode_gmm.conf
train=train          # the set whose transforms are in <ali-dir>; empty: none
sets="dev eval"      # what is decoded
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
. "$(dirname "$0")/took.sh"
source=$1 gmm=$2 ali=$3 graph=$4 data=$5

decode_cmd=${decode_cmd:-$cmd}
make_feats=$steps/make_fmllr_feats.sh
if [ "$steps" != steps_py ]; then make_feats=$steps/nnet/make_fmllr_feats.sh; fi
need_files "$gmm/final.mdl" "$gmm/final.mat" "$graph/HCLG.fst"
if [ -n "$train" ]; then need_files "$ali/trans.1"; fi
for part in $train $sets; do need_files "$source/$part"/{feats.scp,spk2utt}; done

lock_output "$data"
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
    rm -f "$dir/.decoded"
    if [ "$steps" != steps_py ]; then rm -rf "$dir" "$dir.si"; fi # ours goes on where it was stopped
    begin_part
    submit "$steps"/decode_fmllr.sh --nj "$jobs" --cmd "$decode_cmd" --config "$decode_config" "$graph" "$source/$part" "$dir"
    hdnn check lattices "$source/$part" "$dir"
    touch "$dir/.decoded"
    took "$dir" "WER $(cut -d ' ' -f 2 "$dir/scoring_kaldi/best_wer") %"
  fi
done
for part in $train $sets; do
  dir=$data/$part
  transforms=$gmm/decode_$part
  if [ "$part" = "$train" ]; then transforms=$ali; fi
  speakers=$(wc -l < "$source/$part/spk2utt")
  rm -rf "$dir"/split*
  submit "$make_feats" --nj $((nj < speakers ? nj : speakers)) --cmd "$cmd" --transform-dir "$transforms" \
    "$dir" "$source/$part" "$gmm" "$dir/log" "$dir/data"
  # A speaker without a transform is left out by transform-feats with a warning only.
  hdnn check utterances "$source/$part/feats.scp" "$dir/feats.scp"
  if [ "$steps" != steps_py ]; then utils/fix_data_dir.sh "$dir"; fi
done
