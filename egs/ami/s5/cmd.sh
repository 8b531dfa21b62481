#!/usr/bin/env bash
# shellcheck disable=SC2034  # read by run.sh
# How jobs are started: train_cmd for short CPU jobs, decode_cmd for decoding, cuda_cmd for network training.
# A value set in the environment wins: train_cmd="queue.pl --mem 2G" ./run.sh ...
# `cluster=sge ./run.sh ...` (or slurm, or runpl) takes a set of them. All of it: docs/clusters.md.

case ${cluster:-} in
  "")
    # This machine, one job for each core; no Kaldi needed. Memory options are accepted and ignored. With GPUs on this
    # machine, cuda_cmd="run.py --gpu 1" gives each training job one of its own.
    train_cmd=${train_cmd:-run.py}
    decode_cmd=${decode_cmd:-run.py}
    cuda_cmd=${cuda_cmd:-run.py}
    ;;
  runpl) # this machine, Kaldi's launcher
    train_cmd=${train_cmd:-run.pl}
    decode_cmd=${decode_cmd:-run.pl}
    cuda_cmd=${cuda_cmd:-run.pl --gpu 1}
    ;;
  sge) # GridEngine; conf/queue.conf says what the options turn into
    train_cmd=${train_cmd:-queue.pl --mem 2G}
    decode_cmd=${decode_cmd:-queue.pl --mem 4G}
    cuda_cmd=${cuda_cmd:-queue.pl --mem 8G --gpu 1}
    ;;
  slurm) # conf/slurm.conf says what the options turn into
    train_cmd=${train_cmd:-slurm.pl --mem 2G}
    decode_cmd=${decode_cmd:-slurm.pl --mem 4G}
    cuda_cmd=${cuda_cmd:-slurm.pl --mem 8G --gpu 1 --num-threads 4}
    ;;
  *)
    echo "cmd.sh: cluster=$cluster is none of sge, slurm and runpl" >&2
    exit 1
    ;;
esac
