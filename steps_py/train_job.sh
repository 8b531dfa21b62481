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
train_job() {
  local dir=$1 attempt=0 status before launch=(hdnn)
  if [ "$num_procs" -gt 1 ] || [[ " $cmd " == *" --num-nodes "* ]]; then launch=(hdnn torchrun "--nproc_per_node=$num_procs"); fi
  lock_output "$dir"
  mkdir -p "$dir/log"
  rm -f "$dir"/log/train.[0-9]*.log
  while true; do
    before=$(checkpoint_time "$dir") status=0
    # queue.pl keeps a job whose command was killed (status 137) waiting for the administrator: hence the status 1.
    submit $cmd "$dir/log/train.log" "${launch[@]}" "${@:2}" \|\| exit 1 || status=$?
    if [ "$status" -eq 0 ]; then return; fi
    # Above 128 the launcher itself was stopped: the user wants an end.
    if [ "$status" -gt 128 ] || [ "$attempt" -ge "$retries" ] || [ "$(checkpoint_time "$dir")" = "$before" ]; then
      fail "training failed; see $dir/log/train.log. The same command goes on from its last checkpoint, if any"
    fi
    attempt=$((attempt + 1))
    mv "$dir/log/train.log" "$dir/log/train.$attempt.log"
    echo "${0##*/}: the training job died (see $dir/log/train.$attempt.log); it is started again from its checkpoint" \
      "($attempt of at most $retries times)" >&2
  done
}

# When the checkpoint was written; empty if there is none.
checkpoint_time() { stat -c %y "$1/checkpoint.safetensors" 2> /dev/null || true; }

# show_training <model-dir>: the epochs of a finished training, from its log; end if it left no network.
show_training() {
  need_output "$1/log/train.log" "$1/final.safetensors"
  grep -E 'ITERATION|done:' "$1/log/train.log" | sed 's/^INFO ([^)]*) //'
}
