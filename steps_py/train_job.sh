# shellcheck shell=bash
# One training as a job of the launcher `cmd`, started again where it was killed. Sourced by the train steps, not run.

# train_job <model-dir> <processes a machine> <module> <arguments>...
# More than one process, or a launcher that asks for several machines (--num-nodes), goes through torchrun, which takes the
# machines from the scheduler. A job that dies having written a newer checkpoint than before (time limit, node taken away,
# killed for memory) is submitted again, at most `retries` times, and goes on from there; one that made no progress is an error.
train_job() {
  local dir=$1 procs=$2 module=$3 attempt=0 status before
  shift 3
  local program=(python3 -m "$module")
  if [ "$procs" -gt 1 ] || [[ " ${cmd:?} " == *" --num-nodes "* ]]; then
    program=(python3 -m hdnn_nnet.bin.torchrun "--nproc_per_node=$procs" -m "$module")
  fi
  mkdir -p "$dir/log"
  rm -f "$dir"/log/train.[0-9]*.log
  while true; do
    before=$(checkpoint_time "$dir")
    status=0
    # queue.pl keeps a job whose command was killed (status 137) waiting for the administrator: hence the status 1.
    $cmd "$dir/log/train.log" "${program[@]}" "$@" \|\| exit 1 || status=$?
    if [ "$status" -eq 0 ]; then return 0; fi
    # Above 128 the launcher itself was stopped: the user wants an end.
    if [ "$status" -gt 128 ] || [ "$attempt" -ge "${retries:-0}" ] || [ "$(checkpoint_time "$dir")" = "$before" ]; then
      echo "${0##*/}: training failed; see $dir/log/train.log. The same command goes on from its last checkpoint, if any" >&2
      exit 1
    fi
    attempt=$((attempt + 1))
    mv "$dir/log/train.log" "$dir/log/train.$attempt.log"
    echo "${0##*/}: the training job died (see $dir/log/train.$attempt.log); it is started again from its checkpoint" \
      "($attempt of at most $retries times)" >&2
  done
}

# need_files <file>...: end unless all are there.
need_files() {
  local f
  for f in "$@"; do
    if [ ! -f "$f" ]; then
      echo "${0##*/}: $f does not exist" >&2
      exit 1
    fi
  done
}

# show_training <model-dir>: the epochs of a finished training, from its log; end if it left no network.
show_training() {
  if [ ! -s "$1/final.safetensors" ]; then
    echo "${0##*/}: training ended without $1/final.safetensors; see $1/log/train.log" >&2
    exit 1
  fi
  grep -E 'ITERATION|done:' "$1/log/train.log" | sed 's/^INFO ([^)]*) //'
}

# When the checkpoint was written; empty if there is none.
checkpoint_time() {
  stat -c %y "$1/checkpoint.safetensors" 2> /dev/null || true
}
