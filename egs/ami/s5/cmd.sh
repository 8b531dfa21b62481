#!/usr/bin/env bash
# shellcheck disable=SC2034  # read by run.sh
# How jobs are started: train_cmd for short CPU jobs, decode_cmd for decoding, cuda_cmd for network training.
# A value set in the environment wins: train_cmd="queue.pl --mem 2G" ./run.sh ...

# This machine, one job for each core; no Kaldi needed. Memory options are accepted and ignored.
train_cmd=${train_cmd:-run.py}
decode_cmd=${decode_cmd:-run.py}
cuda_cmd=${cuda_cmd:-run.py}

# This machine with GPUs: each training job gets one of its own.
# cuda_cmd="run.py --gpu 1"

# This machine, Kaldi's launcher (KALDI_ROOT set).
# train_cmd=run.pl
# decode_cmd=run.pl
# cuda_cmd="run.pl --gpu 1"

# GridEngine. What --mem and --gpu turn into is written in conf/queue.conf (see the head of Kaldi's queue.pl).
# train_cmd="queue.pl --mem 2G"
# decode_cmd="queue.pl --mem 4G --num-threads 1"
# cuda_cmd="queue.pl --mem 8G --gpu 1"

# Slurm, with conf/slurm.conf for the partitions.
# train_cmd="slurm.pl --mem 2G"
# decode_cmd="slurm.pl --mem 4G"
# cuda_cmd="slurm.pl --mem 8G --gpu 1 --num-threads 4"
