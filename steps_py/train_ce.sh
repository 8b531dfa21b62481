#!/usr/bin/env bash
# Train a highway or plain deep neural network by frame-level cross-entropy.
# The directory it leaves can be decoded by steps_py/decode.sh; the argument order is that of Kaldi's steps/nnet/train.sh.

# Begin configuration.
cmd=run.py
network=hdnn-h128l10  # [h]dnn-h<width>l<depth>
splice=5              # frames of context on either side
activation=sigmoid    # sigmoid or relu
gates=both            # both, transform, carry or coupled
tied_gates=true
cmvn_opts=            # as for apply-cmvn, for example "--norm-means=true --norm-vars=true"; empty: no CMVN
delta_opts=           # as for add-deltas; empty: none
learn_rate=           # per frame; default: 0.008 for dnn, 0.004 for hdnn, 0.003 from 256 units on
minibatch_size=256
momentum=0.9
max_iters=20
init=                 # weights to start from, for example exp/other/final.safetensors
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

if [ $# -ne 6 ]; then
  echo "usage: $0 [options] <data-train> <data-cv> <lang-dir> <ali-train> <ali-cv> <exp-dir>" >&2
  echo "e.g.:  $0 --network hdnn-h128l10 data/train_tr90 data/train_cv10 data/lang exp/tri4a_ali exp/tri4a_ali exp/hdnn" >&2
  echo "options: --cmd, --network, --splice, --activation, --gates, --tied-gates, --cmvn-opts, --delta-opts, --learn-rate," >&2
  echo "  --minibatch-size, --momentum, --max-iters, --init, --seed, --device, --precision, --num-procs, --retries, --train-opts" >&2
  exit 1
fi
data_train=$1
data_cv=$2
lang=$3
ali_train=$4
ali_cv=$5
dir=$6

need_files "$data_train/feats.scp" "$data_cv/feats.scp" "$lang/phones.txt" "$ali_train/final.mdl" \
  "$ali_train/ali.1.gz" "$ali_cv/ali.1.gz"

# shellcheck disable=SC2086
train_job "$dir" "$num_procs" hdnn_nnet.bin.train_ce \
  "--network=$network" "--splice=$splice" "--activation=$activation" "--gates=$gates" "--tied-gates=$tied_gates" \
  "--cmvn-opts=$cmvn_opts" "--delta-opts=$delta_opts" "--minibatch-size=$minibatch_size" "--momentum=$momentum" \
  "--max-iters=$max_iters" "--init=$init" "--seed=$seed" \
  "--device=$device" "--precision=$precision" ${learn_rate:+"--learn-rate=$learn_rate"} $train_opts \
  "$data_train" "$data_cv" "$ali_train" "$ali_cv" "$dir"

show_training "$dir"
