#!/usr/bin/env bash
# Train a network on lattices by sMBR, MPFE or (boosted) MMI; smoothed by cross-entropy or by a teacher where asked for.
# The counterpart of Kaldi's steps/nnet/train_mpe.sh and train_mmi.sh, whose argument order it has.

# Begin configuration.
cmd=run.py
criterion=smbr        # smbr, mpfe or mmi
num_iters=4
learn_rate=0.00001    # per frame, as in Kaldi
batch_utts=1          # utterances of an update
acwt=0.1              # acoustic scale in the lattices
lmwt=1.0              # scale of the lattices' graph costs
one_silence_class=true
boost=0.0             # of boosted MMI
smooth_ce=0           # p, weight of the cross-entropy with the alignment
smooth_kd=0           # p, weight of the divergence from --teacher
teacher=              # model directories, what make_soft_labels.sh stored, or a table of posteriors
teacher_data=         # data directories with the teacher's features, if others
update=all            # parameter groups that are trained: hidden, gates, softmax (several with commas), or all
decode=false          # true: lattices are made during training from the graph in <denlat-dir>
seed=777
device=auto
precision=auto
num_procs=1           # processes on a machine, by torchrun; machines: cmd with --num-nodes, see docs/clusters.md
retries=3             # how often a job that was killed is started again from its checkpoint
priors=true           # re-estimate prior_counts afterwards
train_opts=           # further options of the training program
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
. train_job.sh || exit 1
set -euo pipefail

if [ $# -ne 6 ]; then
  echo "usage: $0 [options] <data-dir> <lang-dir> <src-dir> <ali-dir> <denlat-dir> <exp-dir>" >&2
  echo "e.g.:  $0 --smooth-ce 0.2 data/train data/lang exp/hdnn exp/hdnn_ali exp/hdnn_denlats exp/hdnn_smbr" >&2
  echo "options: --cmd, --criterion, --num-iters, --learn-rate, --batch-utts, --acwt, --lmwt, --one-silence-class, --boost," >&2
  echo "  --smooth-ce, --smooth-kd, --teacher, --teacher-data, --update, --decode, --seed, --device, --precision," >&2
  echo "  --num-procs, --retries, --priors, --train-opts" >&2
  exit 1
fi
data=$1
lang=$2
srcdir=$3
alidir=$4
denlatdir=$5
dir=$6

need_files "$data/feats.scp" "$lang/phones/silence.csl" "$srcdir/model.json" "$alidir/final.mdl" "$alidir/ali.1.gz"

# shellcheck disable=SC2086
train_job "$dir" "$num_procs" hdnn_nnet.bin.train_smbr \
  "--criterion=$criterion" "--num-iters=$num_iters" "--learn-rate=$learn_rate" "--batch-utts=$batch_utts" \
  "--acoustic-scale=$acwt" "--lm-scale=$lmwt" "--one-silence-class=$one_silence_class" "--boost=$boost" \
  "--smooth-ce=$smooth_ce" "--smooth-kd=$smooth_kd" "--teacher=$teacher" "--teacher-data=$teacher_data" "--update=$update" \
  "--decode=$decode" "--seed=$seed" "--device=$device" "--precision=$precision" $train_opts \
  "$data" "$lang" "$srcdir" "$alidir" "$denlatdir" "$dir"

if [ "$priors" = true ]; then
  steps_py/make_priors.sh --cmd "$cmd" "$data" "$dir"
fi
show_training "$dir"
