#!/usr/bin/env bash
# Data directories of AMI (or a corpus in AMI's layout): <data-dir>/ihm/{train,dev,eval}. See docs/data.md.

# Begin configuration.
mic=ihm                  # microphones; only ihm (individual headsets)
nj=2                     # parallel processes
annotations_only=false   # true: all annotated meetings, no audio needed, no wav.scp written; leave out <audio-dir>
extra_train_meetings=    # comma-separated; IB4005 is in no official set, Kaldi's recipe trains on it
max_words_per_segment=0  # split longer segments at commas; 0: never
# End configuration.

if [ -f path.sh ]; then . ./path.sh; fi
. parse_options.sh || exit 1
set -euo pipefail

need=3
if $annotations_only; then need=2; fi
if [ $# -ne $need ]; then
  echo "Usage: $0 [options] <audio-dir> <annotations-dir> <data-dir>" >&2
  echo "       $0 --annotations-only true [options] <annotations-dir> <data-dir>" >&2
  echo " e.g.: $0 --nj 4 /corpora/amicorpus /corpora/ami_public_manual_1.6.2 data" >&2
  echo "Options: --mic ihm  --nj 2  --annotations-only false  --extra-train-meetings ''  --max-words-per-segment 0" >&2
  exit 1
fi
annotations=${*: -2:1}
data=${*: -1}
for f in words segments corpusResources/meetings.xml; do
  if [ ! -e "$annotations/$f" ]; then echo "$0: $annotations/$f does not exist" >&2; exit 1; fi
done

# The script may be reached through the link egs/ami/s5/local.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
python3 "$here/prepare_ami.py" --mic "$mic" --nj "$nj" --annotations-only "$annotations_only" \
  --extra-train-meetings "$extra_train_meetings" --max-words-per-segment "$max_words_per_segment" "$@"
echo "$0: wrote $data/$mic; counts above and in $data/$mic/counts.txt" >&2
