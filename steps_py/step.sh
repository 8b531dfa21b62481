# shellcheck shell=bash
# What every step begins with: path.sh, options, usage, checks. Sourced, not run. The step's opening comment has lines `usage:`,
# which says how many arguments there must be, and `e.g.:`. What the step assigns before it sources this file are its own
# options, but for program="<command of hdnn>": that command takes all other options, and they come in the array program_options.

# fail <message>: end with one line.
fail() { echo "${0##*/}: $1" >&2; exit 1; }

# own_options: the lines of the step that state its own options.
own_options() { sed -ns '/^\. /,$d; /^program=/d; /^[a-z][a-z0-9_]*=/p' "${step_files[@]}"; }

# usage [own]: the opening comment, the step's own options, and those of its program.
usage() {
  sed -n '2,${/^#/!q;s/^# \{0,1\}//p;}' "$0"
  printf '\noptions (--config FILE reads them from a file):\n'
  own_options | sed -E 's/^/  --/; :dash; s/^( *--[a-z0-9-]*)_/\1-/; t dash; s/=/ /'
  if [ -z "$program" ] || [ $# -gt 0 ]; then return; fi
  printf '\noptions for hdnn %s:\n' "$program"
  # shellcheck disable=SC2086
  hdnn --options $program
}

# check_arguments <argument>...: end unless there are as many as the usage has in pointed brackets; those in [ ] may be left out.
check_arguments() {
  local line least most
  line=$(sed -n 's/^# usage: //p' "$0") least=$line most=${line//[!<]/}
  while [[ $least =~ \[[^][]*\] ]]; do least=${least/"${BASH_REMATCH[0]}"/}; done
  least=${least//[!<]/}
  if [ $# -ge ${#least} ] && { [ $# -le ${#most} ] || [[ $line == *...* ]]; }; then return; fi
  usage own >&2
  fail "wrong number of arguments${program:+; --help shows the options of hdnn $program too}"
}

# check_options <command of hdnn and its words>...: end with the command's own line if it would not take them.
check_options() {
  local said
  if said=$(hdnn --check "$@" 2>&1); then return; fi
  said=${said#*: error: }
  fail "${said%; see hdnn *}; see --help"
}

# need_files <file>...: end unless all are there.
need_files() {
  local f
  for f in "$@"; do if [ ! -f "$f" ]; then fail "$f does not exist"; fi; done
}

# need_model <dir>: end unless it holds a network.
need_model() {
  if [ ! -f "$1/model.json" ] && [ ! -f "$1/final.nnet" ]; then fail "$1 is no model directory (model.json or final.nnet)"; fi
}

# need_output <log> <file>...: end unless a job left all of them, and not empty.
need_output() {
  local f
  for f in "${@:2}"; do if [ ! -s "$f" ]; then fail "$f is missing; see $1"; fi; done
}

# put <file> <text>: write a line to a file, which is whole or as it was.
put() {
  if ! { echo "$2" > "$1.tmp" && mv "$1.tmp" "$1"; } 2> /dev/null; then
    rm -f "$1.tmp"
    fail "$1 cannot be written; is the disk full?"
  fi
}

# limit_jobs <number>: no more jobs than there is work.
limit_jobs() { if [ "$nj" -gt "$1" ]; then nj=$1; fi; }

# said_in <log> <text>: the log's last line with the text, without what the logger puts before it.
said_in() { grep -F "$2" "$1" | tail -n 1 | sed 's/^[^)]*) //'; }

# lock_output <dir>: make it, and hold it until this step and its jobs have ended; end if another run holds it. A step that was
# started by the one that holds it goes on. Commands of hdnn hold .lock; a step's lock is another one, as its jobs are such.
lock_output() {
  local dir lock handle
  mkdir -p "$1"
  dir=$(cd "$1" && pwd -P) lock=$dir/.step.lock
  case ":${HDNN_LOCKED:-}:" in *":$dir:"*) return ;; esac
  if [ ! -w "$dir" ]; then fail "$dir cannot be written to"; fi
  while true; do
    exec {handle}<> "$lock"
    if ! flock -n "$handle"; then
      fail "$1 is being written by $(head -c 1000 "$lock"); wait until it and its jobs have ended, or stop it"
    fi
    if [ "$lock" -ef "/dev/fd/$handle" ]; then break; fi # else the one before removed it between our two lines
    exec {handle}>&-
  done
  _step_locks+=("$lock")
  export HDNN_LOCKED=${HDNN_LOCKED:-}:$dir
  echo "${0##*/}, process $$ on $(uname -n), since $(date '+%F %T')" > "$lock" || true
}

# submit <launcher or step> <word>...: run it, and end it where this step is told to end.
submit() {
  local status=0
  set -m # a process group of its own, so that a signal reaches all of it
  "$@" < /dev/null &
  _step_job=$!
  set +m
  wait "$_step_job" || status=$?
  _step_job=''
  return $status
}

# _step_stop <signal> <its number>: end what runs, and this step.
_step_stop() {
  trap '' HUP INT TERM
  if [ -n "$_step_job" ]; then
    kill -s TERM -- "-$_step_job" 2> /dev/null || true
    wait "$_step_job" || true
    echo "${0##*/}: stopped by SIG$1; its jobs were ended" >&2
  fi
  exit $((128 + $2))
}
_step_job='' _step_locks=()
trap '_step_stop HUP 1' HUP
trap '_step_stop INT 2' INT
trap '_step_stop TERM 15' TERM
trap 'if [ ${#_step_locks[@]} -gt 0 ]; then rm -f "${_step_locks[@]}"; fi' EXIT
export HDNN_STEPS="${HDNN_STEPS:-} $$" # run.py ends its jobs with any of them

echo "$0 $*" >&2
if [ -f path.sh ]; then . ./path.sh; fi
if ! grep -q '^program=' "$0"; then program=; fi # whatever the environment calls so
program_options=() step_files=("${BASH_SOURCE[@]:1}") # this file may have been sourced by one that several steps share
step_options=$(own_options | sed 's/=.*//' | tr '\n' ' ')
. "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"
_step_counts='^(nj|num_procs|num_threads|retries|stage)=' _step_right='=[1-9][0-9]*$|^(retries|stage)=(0|-[1-9][0-9]*)$'
for _step_word in $step_options; do
  if [[ $_step_word=${!_step_word} =~ $_step_counts && ! $_step_word=${!_step_word} =~ $_step_right ]]; then
    fail "option --${_step_word//_/-} expects a number, got '${!_step_word}'"
  fi
done
for _step_word in "${program_options[@]}"; do
  case $_step_word in --job=* | --num-jobs=*) fail "unknown option ${_step_word%%=*}; the number of jobs is --nj" ;; esac
done
check_arguments "$@"
if ! command -v hdnn > /dev/null; then fail "hdnn is not on PATH; '. <checkout>/path.sh' puts it there, after 'make env'"; fi
set -euo pipefail
