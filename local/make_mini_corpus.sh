#!/usr/bin/env bash
# Synthesise a small corpus in AMI's layout: <corpus>/<meeting>/audio/*.Headset-N.wav and
# <corpus>/ami_public_manual_1.6.2/{words,segments,corpusResources}. See docs/mini-corpus.md.
# usage: make_mini_corpus.sh [options] <corpus-dir>
# e.g.:  make_mini_corpus.sh --hours-train 0.75 --nj 2 data/mini

hours_train=0.75  # hours of training speech; dev and eval 8 minutes each (less for less than 0.75)
seed=1            # the same seed gives the same files, whatever nj
nj=2              # parallel processes
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
corpus=$1

lock_output "$corpus"
# The script may be reached through the link egs/ami/s5/local.
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
submit env "PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}" \
  python3 -m local.mini.make_corpus --hours-train "$hours_train" --seed "$seed" --nj "$nj" "$corpus"
echo "$0: $(find "$corpus" -name '*.wav' | wc -l) headset recordings in $corpus; counts in $corpus/corpus.json" >&2
