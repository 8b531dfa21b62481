#!/usr/bin/env bash
# Store a teacher's soft labels: forward it once over data, and keep in each frame the fewest pdfs that hold a given mass.
# Writes post.scp and post.N.ark (Kaldi's Posterior type, at temperature 1) and info.json; students then train as fast as by CE.

# Begin configuration.
nj=4
cmd=run.py
mass=0.99         # share of each frame's posterior that is kept at --temperature
temperature=1     # highest temperature that students will use; above 1 many more pdfs are kept
forward_opts=     # further options of the program, for example "--device cuda"
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: $0 [options] <data-dir> <teacher-dir> <soft-dir>" >&2
  echo "e.g.:  $0 --nj 8 --cmd queue.pl data/train exp/dnn_h2048l6 exp/dnn_h2048l6/soft_train" >&2
  echo "Several teachers in quotes are averaged. Data of training and cross-validation belong into one <soft-dir>: give the" >&2
  echo "directory that both were split from." >&2
  echo "options: --nj, --cmd, --mass, --temperature, --forward-opts" >&2
  exit 1
fi
data=$1
teacher=$2
dir=$3

if [ ! -f "$data/feats.scp" ]; then
  echo "$0: $data/feats.scp does not exist" >&2
  exit 1
fi
for t in $teacher; do
  if [ ! -f "$t/model.json" ] && [ ! -f "$t/final.nnet" ]; then
    echo "$0: $t is no model directory (model.json or final.nnet)" >&2
    exit 1
  fi
done

nj=$(python3 -m hdnn_nnet.bin.split_data "$data" "$nj")
mkdir -p "$dir/log"
dir=$(cd "$dir" && pwd) # so that post.scp holds from any directory
rm -f "$dir/info.json" "$dir/post.scp" "$dir"/post.*.ark "$dir"/post.*.scp "$dir"/stats.*.json
# shellcheck disable=SC2086
$cmd "JOB=1:$nj" "$dir/log/soft.JOB.log" \
  python3 -m hdnn_nnet.bin.soft_labels "--mass=$mass" "--temperature=$temperature" "--stats=$dir/stats.JOB.json" $forward_opts \
  "$teacher" "$data/split$nj/JOB" "ark,scp:$dir/post.JOB.ark,$dir/post.JOB.scp"
python3 -m hdnn_nnet.bin.collect_soft_labels "$nj" "$data" "$dir"
