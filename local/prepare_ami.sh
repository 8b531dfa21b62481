#!/usr/bin/env bash
# Data directories of AMI (or a corpus in AMI's layout): <data-dir>/ihm/{train,dev,eval}. See docs/data.md.
# usage: prepare_ami.sh [options] [<audio-dir>] <annotations-dir> <data-dir>
# e.g.:  prepare_ami.sh --nj 4 /corpora/amicorpus /corpora/ami_public_manual_1.6.2 data
#        prepare_ami.sh --annotations-only true /corpora/ami_public_manual_1.6.2 data

mic=ihm                  # microphones; only ihm (individual headsets)
nj=2                     # parallel processes
annotations_only=false   # true: all annotated meetings, no audio needed, no wav.scp written; leave out <audio-dir>
extra_train_meetings=    # comma-separated; IB4005 is in no official set, Kaldi's recipe trains on it
max_words_per_segment=0  # split longer segments at commas; 0: never
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
if $annotations_only; then needed=2; else needed=3; fi
if [ $# -ne $needed ]; then fail "$needed arguments with --annotations-only $annotations_only, not $#; see --help"; fi
annotations=${*: -2:1} data=${*: -1}

for f in words segments corpusResources/meetings.xml; do
  if [ ! -e "$annotations/$f" ]; then fail "$annotations/$f does not exist"; fi
done
# The script may be reached through the link egs/ami/s5/local, and from any directory.
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lock_output "$data"
submit env "PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}" \
  python3 -m local.prepare_ami --mic "$mic" --nj "$nj" --annotations-only "$annotations_only" \
  --extra-train-meetings "$extra_train_meetings" --max-words-per-segment "$max_words_per_segment" "$@"
echo "$0: wrote $data/$mic; counts above and in $data/$mic/counts.txt" >&2
