#!/usr/bin/env bash
# Adapt a network to the speakers of a data directory, without transcripts. Writes a small file for every speaker with what
# changed (the gates, unless --update says otherwise), and index.json; decode with steps_py/decode.sh --adapt-dir.

# Begin configuration.
nj=4
cmd=run.py
labels=hard           # hard: <source> is a decode directory; soft: a teacher; supervised: an alignment directory
update=gates          # groups that move: gates, hidden, softmax (several with commas), or all
iters=5
rate=0.0002           # per frame
minibatch_size=256
held_out=0.1          # share of a speaker's frames that is held back, 0: none
guard=true            # a speaker whose held-back loss rises keeps the independent parameters
early_stop=false      # take the pass with the lowest held-back loss
min_frames=100        # speakers with fewer keep the independent parameters
lmwt=10               # hard: LM weight of the best paths
confidence=none       # hard: none, pdf, phone or word: the lattice's confidence in each frame
min_confidence=0.0    # hard: leave out frames below
weight_frames=false   # hard: weight frames by their confidence
temperature=1         # soft: T
teacher_data=         # soft: data directory with the teacher's features, if others
seed=777
adapt_opts=           # further options of the program, for example "--device cuda"
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 4 ]; then
  echo "usage: $0 [options] <data-dir> <model-dir> <source> <adapt-dir>" >&2
  echo "e.g.:  $0 --nj 8 data/dev exp/hdnn exp/hdnn/decode_dev exp/hdnn/adapt_dev" >&2
  echo "       $0 --nj 8 --labels soft data/dev exp/hdnn exp/teacher exp/hdnn/adapt_kd_dev" >&2
  echo "<source> by --labels: hard: directory where <model-dir> decoded <data-dir>; soft: model directories of teachers in" >&2
  echo "quotes, stored soft labels or a table of posteriors; supervised: alignment directory of <data-dir>." >&2
  echo "options: --nj, --cmd, --labels hard|soft|supervised, --update gates|hidden|softmax|all, --iters, --rate," >&2
  echo "  --minibatch-size, --held-out, --guard true|false, --early-stop true|false, --min-frames, --lmwt," >&2
  echo "  --confidence none|pdf|phone|word, --min-confidence, --weight-frames true|false, --temperature, --teacher-data," >&2
  echo "  --seed, --adapt-opts" >&2
  exit 1
fi
data=$1
model=$2
source=$3
dir=$4

for f in "$data/feats.scp" "$data/utt2spk" "$model/model.json"; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done
case $labels in
  hard) needed=("$source/num_jobs" "$source/lat.1.gz" "$model/final.mdl") ;;
  supervised) needed=("$source/num_jobs" "$source/final.mdl") ;;
  soft) needed=() ;;
  *)
    echo "$0: --labels must be hard, soft or supervised, not $labels" >&2
    exit 1
    ;;
esac
for f in ${needed[@]+"${needed[@]}"}; do
  if [ ! -f "$f" ]; then
    echo "$0: $f does not exist" >&2
    exit 1
  fi
done
if [ "$confidence" = none ] && { [ "$min_confidence" != 0.0 ] || [ "$weight_frames" = true ]; }; then
  echo "$0: --min-confidence and --weight-frames need --confidence pdf, phone or word" >&2
  exit 1
fi

nj=$(python3 -m hdnn_nnet.bin.split_data "$data" "$nj")
mkdir -p "$dir/log"
# What an earlier run left must not pass for the result of this one.
rm -f "$dir"/index.json "$dir"/part.*.json "$dir"/spk-*.safetensors "$dir"/post.*

if [ "$labels" = hard ]; then
  lattice_jobs=$(cat "$source/num_jobs")
  $cmd "JOB=1:$lattice_jobs" "$dir/log/labels.JOB.log" \
    python3 -m hdnn_nnet.bin.best_path_labels "--lmwt=$lmwt" "--confidence=$confidence" \
    "$source/lat.JOB.gz" "$model/final.mdl" "ark,scp:$dir/post.JOB.ark,$dir/post.JOB.scp"
  for ((job = 1; job <= lattice_jobs; job++)); do cat "$dir/post.$job.scp"; done > "$dir/post.scp"
  source=$dir/post.scp
fi
# shellcheck disable=SC2086
$cmd "JOB=1:$nj" "$dir/log/adapt.JOB.log" \
  python3 -m hdnn_nnet.bin.adapt --job JOB "--labels=$labels" "--update=$update" "--iters=$iters" "--rate=$rate" \
  "--minibatch-size=$minibatch_size" "--held-out=$held_out" "--guard=$guard" "--early-stop=$early_stop" \
  "--min-frames=$min_frames" "--min-confidence=$min_confidence" "--weight-frames=$weight_frames" \
  "--temperature=$temperature" "--teacher-data=$teacher_data" "--seed=$seed" $adapt_opts \
  "$data/split$nj/JOB" "$model" "$source" "$dir"
counts=$(python3 -m hdnn_nnet.bin.collect_adapt "$nj" "$data" "$dir")
rm -f "$dir"/post.*
echo "$0: $dir: $counts"
