#!/usr/bin/env bash
# Synthesise a small corpus in AMI's layout: <corpus>/<meeting>/audio/*.Headset-N.wav and
# <corpus>/ami_public_manual_1.6.2/{words,segments,corpusResources}. See docs/mini-corpus.md.

# Begin configuration.
hours_train=0.75  # hours of training speech; dev and eval 8 minutes each (less for less than 0.75)
seed=1            # the same seed gives the same files, whatever nj
nj=2              # parallel processes
# End configuration.

if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "Usage: $0 [options] <corpus-dir>" >&2
  echo " e.g.: $0 --hours-train 0.75 --nj 2 data/mini" >&2
  echo "Options: --hours-train 0.75  --seed 1  --nj 2" >&2
  exit 1
fi
corpus=$1

# The script may be reached through the link egs/ami/s5/local.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} \
  python3 -m mini.make_corpus --hours-train "$hours_train" --seed "$seed" --nj "$nj" "$corpus"
echo "$0: $(find "$corpus" -name '*.wav' | wc -l) headset recordings in $corpus; counts in $corpus/corpus.json" >&2
