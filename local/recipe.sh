# shellcheck shell=bash disable=SC2154
# How a recipe goes through its stages: the plan, what each stage took and came to, jobs side by side, and an orderly end.
# Sourced by run.sh behind step.sh, not run; run.sh sets `stage`, `stop_stage` and `train_jobs`. What takes long goes through
# `submit` or `in_background`: a shell that waits for a command in the foreground hears of a signal when that has ended.

recipe_dirs=() # that it writes to
stage_name='' stage_begin='' stage_figure='' stage_seconds='' stage_at_work=''
recipe_begin=$SECONDS

# plan <directory of the results> <line>...: say what is going to happen, how long it took the last time, and where that broke off.
plan() {
  stage_seconds=$1/stage_seconds stage_at_work=$1/stage_at_work
  printf "$0: %s\n" "${@:2}" >&2
  awk -v first="$stage" -v last="$stop_stage" -v name="$0" '$1 >= first && $1 <= last { sum += $2; count++ }
    END {
      if (count) printf "%s: the last run took %s for %d of these stages\n", name, sum < 120 ? sum " s" : int(sum / 60 + 0.5) " min", count
      else printf "%s: no earlier run to estimate the time from\n", name
    }' "$(if [ -f "$stage_seconds" ]; then echo "$stage_seconds"; else echo /dev/null; fi)" >&2
  local left
  left=$(cat "$stage_at_work" 2> /dev/null || true)
  if [ -n "$left" ] && [ "$stage" -lt "${left%% *}" ]; then
    echo "$0: an earlier run broke off in stage $left: --stage ${left%% *} goes on there, this one repeats what was before" >&2
  fi
}

# run_stage <number> <what> [<work> [<reason>]]: true if the stage is to be run; says so. With empty <work> there is nothing to do.
run_stage() {
  end_stage
  if [ "$stage" -gt "$1" ] || [ "$stop_stage" -lt "$1" ]; then return 1; fi
  stage_name="$1 ($2)"
  if [ $# -gt 2 ] && [ -z "$3" ]; then
    echo "=== stage $1: $2: nothing to do${4:+ ($4)}" >&2
    return 1
  fi
  stage_begin=$SECONDS stage_figure=
  mkdir -p "$(dirname "$stage_at_work")"
  echo "$stage_name" > "$stage_at_work"
  echo "=== stage $1: $2 ($(date +%H:%M:%S))" >&2
}

# end_stage: say what the stage at work, if any, took and came to.
end_stage() {
  if [ -z "$stage_begin" ]; then return; fi
  local number=${stage_name%% *} seconds=$((SECONDS - stage_begin))
  echo "=== stage $number took $seconds s${stage_figure:+: $stage_figure}" >&2
  stage_begin=
  rm -f "$stage_at_work"
  { grep -v "^$number " "$stage_seconds" 2> /dev/null || true; echo "$number $seconds"; } > "$stage_seconds.new"
  mv "$stage_seconds.new" "$stage_seconds"
}

# figure <text>: what the stage at work came to; several are put together.
figure() { if [ -n "$1" ]; then stage_figure="${stage_figure:+$stage_figure; }$1"; fi; }

# trained <model-dir>...: the figures of trainings, from their logs.
trained() {
  local dir said
  for dir in "$@"; do
    said=$(grep -hF 'done: ' "$dir/log/train.log" 2> /dev/null | tail -n 1 | sed 's/.*done: //; s/, model in .*//' || true)
    figure "${said:+${dir##*/}: $said}"
  done
}

# scored <directory with decode_dev and decode_eval>...: the best word error rates.
scored() {
  local dir part wer text
  for dir in "$@"; do
    text=
    for part in dev eval; do
      wer=$(awk '{print $2; exit}' "$dir/decode_$part/scoring_kaldi/best_wer" 2> /dev/null || true)
      text=$text${wer:+${text:+, }$wer % ($part)}
    done
    figure "${text:+${dir##*/} $text}"
  done
}

# Run a command in the background, at most $train_jobs at a time; wait_jobs waits for all. A failed one ends the stage when
# the others are through: their work is not lost.
running=0
failed=0
next_job() {
  wait -n || failed=1
  running=$((running - 1))
}
in_background() {
  while [ "$running" -ge "$train_jobs" ]; do next_job; done
  "$@" &
  running=$((running + 1))
}
wait_jobs() {
  while [ "$running" -gt 0 ]; do next_job; done
  if [ "$failed" -ne 0 ]; then exit 1; fi
}

# stop_jobs <process>: ask the launchers and programs below it to end; the shells between then end by themselves.
stop_jobs() {
  local pid
  # shellcheck disable=SC2013  # all on one line
  for pid in $(cat "/proc/$1/task/"*/children 2> /dev/null); do
    if [ "$pid" = "$_step_job" ]; then continue; fi
    case $(cat "/proc/$pid/comm" 2> /dev/null) in
      bash | sh) stop_jobs "$pid" ;;
      *) kill -TERM "$pid" 2> /dev/null || true ;;
    esac
  done
}

# on_signal <number>: nothing may go on, or say anything, after the recipe has ended.
on_signal() {
  trap '' INT TERM HUP
  if [ -n "$_step_job" ]; then kill -s TERM -- "-$_step_job" 2> /dev/null || true; fi # a step, which ends its jobs
  stop_jobs $$
  wait || true
  exit $((128 + $1))
}

on_exit() {
  local status=$?
  if [ -n "${HDNN_PROGRESS:-}" ]; then rm -rf "$HDNN_PROGRESS"; fi
  if [ $status -gt 128 ]; then
    sweep_locks "${recipe_dirs[@]}"
    echo "$0: stopped in stage $stage_name; go on with --stage ${stage_name%% *}" >&2
  elif [ $status -ne 0 ] && [ -n "$stage_name" ]; then
    echo "$0: stage $stage_name failed; mend it and go on with --stage ${stage_name%% *}" >&2
  elif [ $status -eq 0 ]; then
    end_stage
    echo "$0: stages $stage to $stop_stage are done, in $((SECONDS - recipe_begin)) s" >&2
  fi
}
# In place of step.sh's, which end one step.
trap on_exit EXIT
trap 'on_signal 1' HUP
trap 'on_signal 2' INT
trap 'on_signal 15' TERM
# Trainings side by side share one bar.
if [ -t 2 ]; then HDNN_PROGRESS=$(mktemp -d) && export HDNN_PROGRESS; fi
