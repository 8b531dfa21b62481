#!/usr/bin/env bash
# Take a Kaldi AMI s5 directory that has been run as it is (so that scores compare with Kaldi's published ones): its data
# directories, lang, tri4a with alignment, decoding graph, and the transforms of its dev and eval decodings. Nothing is
# written there: data directories are copied (they are small and get splits and such), the rest are links.
# usage: link_kaldi_s5.sh [options] <kaldi-s5-dir> <data-dir> <exp-dir>
# e.g.:  link_kaldi_s5.sh /kaldi/egs/ami/s5 data/ami_s5 exp/ami_s5

mic=ihm
lm=             # language model of the graph; default: that of data/local/lm/final_lm, else the only graph there is
gmm=tri4a
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
s5=$(readlink -f "$1") data=$2 exp=$3
source=$s5/exp/$mic/$gmm

if [ -z "$lm" ] && [ -s "$s5/data/local/lm/final_lm" ]; then lm=$(cat "$s5/data/local/lm/final_lm").pr1-7; fi
if [ -z "$lm" ]; then
  graphs=("$source"/graph_*/HCLG.fst)
  if [ ${#graphs[@]} -ne 1 ]; then
    fail "${#graphs[@]} graphs in $source; choose one with --lm (run.sh: --kaldi-lm)"
  fi
  lm=$(basename "$(dirname "${graphs[0]}")")
  lm=${lm#graph_}
fi
hint="run Kaldi's run_ihm.sh there up to its stage 8"
for f in "$s5/data/$mic"/{train,dev,eval}/{feats.scp,cmvn.scp,text,utt2spk} "$s5/data/lang/phones.txt" \
  "$source/final.mdl" "$source/final.mat" "$source/tree" "$source/graph_$lm/HCLG.fst" \
  "${source}_ali/ali.1.gz" "${source}_ali/trans.1"; do
  if [ ! -f "$f" ]; then
    fail "$f does not exist; $hint"
  fi
done

lock_output "$data"
for part in train dev eval; do
  dir=$data/mfcc/$part
  mkdir -p "$dir"
  for f in feats.scp cmvn.scp wav.scp segments text utt2spk spk2utt spk2gender utt2dur utt2num_frames utt2uniq reco2file_and_channel \
    stm glm; do
    if [ -f "$s5/data/$mic/$part/$f" ]; then cp "$s5/data/$mic/$part/$f" "$dir/$f"; fi
  done
  # Paths in the tables may be relative to that directory.
  sed -i -E "s|^(\S+) ([^/ ][^ |]*)$|\1 $s5/\2|" "$dir/feats.scp" "$dir/cmvn.scp"
done

mkdir -p "$exp"
rm -rf "$data/lang" "$exp/${gmm}_ali"
ln -s "$s5/data/lang" "$data/lang"
ln -s "${source}_ali" "$exp/${gmm}_ali"
# A directory of links, so that what is missing there can be made here.
mkdir -p "$exp/$gmm"
for f in final.mdl final.alimdl final.mat full.mat final.occs tree phones.txt cmvn_opts splice_opts delta_opts num_jobs; do
  if [ -e "$source/$f" ]; then ln -sfn "$source/$f" "$exp/$gmm/$f"; fi
done
ln -sfn "$source/graph_$lm" "$exp/$gmm/graph"
taken=
for part in dev eval; do
  decoded=$source/decode_${part}_$lm
  if [ -f "$decoded/trans.1" ]; then
    rm -rf "$exp/$gmm/decode_$part"
    ln -sfn "$decoded" "$exp/$gmm/decode_$part"
    taken="$taken $part"
  fi
done
put "$exp/lm" "$lm"
echo "$0: data, lang, $gmm and its graph of $s5, language model $lm; fMLLR transforms of:${taken:- none (dev and eval are decoded here)}" >&2
