# shellcheck shell=bash
# One training as a job of the launcher `cmd`, started again where it was killed. The train steps source this instead of step.sh.

cmd=run.py
num_procs=1  # processes on a machine, by torchrun; machines: cmd with --num-nodes, see docs/clusters.md
retries=3    # how often a job that was killed is started again from its checkpoint
train_opts=  # more options for the program, as one word
. "$(dirname "${BASH_SOURCE[0]}")/step.sh" || exit 1
program_options+=($train_opts)

# train_job <model-dir> <command of hdnn and its words>...
# More than one process, or a launcher that asks for several machines (--num-nodes), goes through torchrun, which takes the
# machines from the scheduler. A job that dies having written a newer checkpoint than before (time limit, node taken away,
# killed for memory) is submitted again, at most `retries` times, and goes on from there; one that made no progress is an error.
# Its log is train.log; those of earlier jobs are train.1.log, train.2.log and so on. Epochs are shown as they end.
train_job() {
  local dir=$1 log=$1/log/train.log attempt=0 status before earlier launch=(hdnn)
  if [ "$num_procs" -gt 1 ] || [[ " $cmd " == *" --num-nodes "* ]]; then launch=(hdnn torchrun "--nproc_per_node=$num_procs"); fi
  lock_output "$dir"
  mkdir -p "$dir/log"
  echo "$(basename "$dir"): training; its log is $log" >&2
  while true; do
    earlier=$(keep_log "$log")
    before=$(checkpoint_time "$dir") status=0
    follow "$(basename "$dir")" "$log"
    # queue.pl keeps a job whose command was killed (status 137) waiting for the administrator: hence the status 1.
    submit $cmd "$log" "${launch[@]}" "${@:2}" \|\| exit 1 || status=$?
    stop_following
    if [ "$status" -eq 0 ]; then break; fi
    # Above 128 the launcher itself was stopped: the user wants an end.
    if [ "$status" -gt 128 ]; then fail "training was stopped; the same command goes on from its last checkpoint; see $log"; fi
    if [ "$attempt" -ge "$retries" ] || [ "$(checkpoint_time "$dir")" = "$before" ]; then
      fail "training failed; see $log. The same command goes on from its last checkpoint, if any"
    fi
    attempt=$((attempt + 1))
    echo "${0##*/}: the training job died (see $log); it is started again from its checkpoint" \
      "($attempt of at most $retries times)" >&2
  done
  # One that found nothing to do has nothing to tell: the log stays that of the training.
  if [ -n "$earlier" ] && grep -qF 'done: ' "$earlier" && grep -qF 'already trained: ' "$log"; then mv "$earlier" "$log"; fi
}

# keep_log <log>: give the log of an earlier job a number, and print its new name.
keep_log() {
  local number=1
  if [ ! -e "$1" ]; then return; fi
  while [ -e "${1%.log}.$number.log" ]; do number=$((number + 1)); done
  mv "$1" "${1%.log}.$number.log"
  echo "${1%.log}.$number.log"
}

# When the checkpoint was written; empty if there is none.
checkpoint_time() { stat -c %y "$1/checkpoint.safetensors" 2> /dev/null || true; }

# show_training <model-dir>: what a finished training came to, from its log; end if it left no network.
show_training() {
  need_output "$1/log/train.log" "$1/final.safetensors"
  echo "$(basename "$1"): $(said_in "$1/log/train.log" 'done: ')"
}
