#!/usr/bin/env bash
# Train a student network on a teacher's soft labels, alone or with hard labels.
# The teacher is a model directory (ours or of steps/nnet/train.sh) that is run on the fly, several of them in quotes (their
# posteriors are averaged), what steps_py/make_soft_labels.sh stored, or a table of posteriors that another system wrote:
# Kaldi's Posterior type, or matrices of posteriors or log-posteriors.

# Begin configuration.
cmd=run.py
network=hdnn-h128l10  # [h]dnn-h<width>l<depth> of the student
temperature=1         # T, divides the logits of teacher and student
hard_weight=0         # q, weight of the cross-entropy with the alignment
square_temperature=false # multiply the soft term by T^2 (the paper does not)
unlabelled_data=      # data directories without alignments, in quotes
teacher_data=         # data directories with the teacher's features, in quotes; default: the student's
splice=5              # frames of context on either side
cmvn_opts=            # as for apply-cmvn, for example "--norm-means=true --norm-vars=true"; empty: no CMVN
delta_opts=           # as for add-deltas; empty: none
learn_rate=           # per frame; default: 0.008 for dnn, 0.004 for hdnn, 0.003 from 256 units on
minibatch_size=256
max_iters=20
init=                 # weights to start from, for example exp/hdnn_ce/final.safetensors; empty: random
seed=777
device=auto           # auto, cpu, cuda
precision=auto        # auto, fp32, bf16
num_procs=1           # processes on a machine, by torchrun; machines: cmd with --num-nodes, see docs/clusters.md
retries=3             # how often a job that was killed is started again from its checkpoint
train_opts=           # further options of the training program
# End configuration.

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
. train_job.sh || exit 1
set -euo pipefail

if [ $# -ne 7 ]; then
  echo "usage: $0 [options] <data-train> <data-cv> <lang-dir> <ali-train> <ali-cv> <teacher> <exp-dir>" >&2
  echo "e.g.:  $0 --network hdnn-h128l10 data/train_tr90 data/train_cv10 data/lang exp/tri4a_ali exp/tri4a_ali \\" >&2
  echo "         exp/dnn_h2048l6/soft exp/hdnn_h128l10_kd" >&2
  echo "options: --cmd, --network, --temperature, --hard-weight, --square-temperature, --unlabelled-data, --teacher-data," >&2
  echo "  --splice, --cmvn-opts, --delta-opts, --learn-rate, --minibatch-size, --max-iters, --init, --seed, --device," >&2
  echo "  --precision, --num-procs, --retries, --train-opts" >&2
  exit 1
fi
data_train=$1
data_cv=$2
lang=$3
ali_train=$4
ali_cv=$5
teacher=$6
dir=$7

need_files "$data_train/feats.scp" "$data_cv/feats.scp" "$lang/phones.txt" "$ali_train/final.mdl" \
  "$ali_train/ali.1.gz" "$ali_cv/ali.1.gz"

# shellcheck disable=SC2086
train_job "$dir" "$num_procs" hdnn_nnet.bin.train_kd \
  "--network=$network" "--temperature=$temperature" "--hard-weight=$hard_weight" \
  "--square-temperature=$square_temperature" "--unlabelled-data=$unlabelled_data" "--teacher-data=$teacher_data" \
  "--splice=$splice" "--cmvn-opts=$cmvn_opts" "--delta-opts=$delta_opts" "--minibatch-size=$minibatch_size" \
  "--max-iters=$max_iters" "--init=$init" "--seed=$seed" "--device=$device" "--precision=$precision" \
  ${learn_rate:+"--learn-rate=$learn_rate"} $train_opts "$teacher" "$data_train" "$data_cv" "$ali_train" "$ali_cv" "$dir"

show_training "$dir"
