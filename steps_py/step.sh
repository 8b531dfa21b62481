# shellcheck shell=bash
# What every step begins with: path.sh, options, usage, checks. Sourced, not run. The step's opening comment has lines `usage:`,
# which says how many arguments there must be, and `e.g.:`. What the step assigns before it sources this file are its own
# options, but for program="<command of hdnn>": that command takes all other options, and they come in the array program_options.

# fail <message>: end with one line.
fail() { echo "${0##*/}: $1" >&2; exit 1; }

# own_options: the options that the step states itself, one a line: name, kind, default and help (octal 37 between). The kind is
# what the comment begins with in braces, else follows from the default: {a,b} is a choice, {1..9} a whole number between these,
# {N} a count from 1, {Z} any whole number, {X} any number.
own_options() {
  awk -v OFS='\037' '
    BEGIN { # what these mean everywhere, where the step does not say more
      usual["nj"] = "jobs side by side"; usual["cmd"] = "launcher of the jobs: run.py, or queue.pl and the like with their options"
      usual["beam"] = "of the search"; usual["lattice_beam"] = "of the lattices"; usual["max_active"] = "most states of a frame"
      usual["min_active"] = "least states of a frame"; usual["skip_scoring"] = "no word error rates"
    }
    function give() { if (name != "") print name, kind, value, help == "" ? usual[name] : help; name = "" }
    FNR == 1 { give(); over = 0 }
    /^\. / { give(); over = 1 }
    over { next }
    /^ +# / { if (name != "") { sub(/^ +# */, ""); help = help " " $0 } next }
    { give() }
    /^[a-z][a-z0-9_]*=/ && !/^program=/ {
      name = substr($0, 1, index($0, "=") - 1); rest = substr($0, index($0, "=") + 1)
      quoted = sub(/^"/, "", rest); end = match(rest, quoted ? "\"" : "[ \t]|$"); value = substr(rest, 1, end - 1)
      help = substr(rest, end + quoted); sub(/^[ \t]*(# *)?/, "", help); kind = quoted ? "WORDS" : "WORD"
      if (match(help, /^\{[^}]*\} */)) { kind = substr(help, 1, RLENGTH); sub(/ +$/, "", kind); help = substr(help, RLENGTH + 1) }
      else if (!quoted && value ~ /^(true|false)$/) kind = "BOOL"
      else if (name ~ /^(nj|num_procs|num_threads)$/) kind = "{N}"
      else if (name ~ /^(retries|stage)$/) kind = "{Z}"
      else if (!quoted && value ~ /^-?[0-9.]+(e-?[0-9]+)?$/) kind = "{X}"
    }
    END { give() }' "${step_files[@]}"
}

# list_options: own_options as `hdnn COMMAND --help` shows them.
list_options() {
  own_options | awk -F '\037' -v width="${COLUMNS:-100}" '{
    gsub("_", "-", $1); sub(/^\{N\}$/, "N", $2); sub(/^\{X\}$/, "X", $2); sub(/^\{Z\}$/, "N", $2)
    line = sprintf("  --%s %s", $1, $2)
    if ($3 != "" && $4 !~ /default/) $4 = $4 ($4 == "" ? "" : " ") "(default: " $3 ")"
    if (length(line) > 23 && $4 != "") { print line; line = "" }
    count = split($4, words, " ")
    if (!count) print line
    for (i = 1; i <= count; i++) {
      if (i == 1) line = sprintf("%-24s", line) words[1]
      else if (length(line) + 1 + length(words[i]) > width - 2) { print line; line = sprintf("%24s%s", "", words[i]) }
      else line = line " " words[i]
      if (i == count) print line
    }
  }'
}

# check_values: end unless every option of the step has a value of its kind. An empty one means none, but for counts and numbers
# that have a default.
check_values() {
  local name kind value default
  while IFS=$'\037' read -r name kind default _; do
    value=${!name}
    if [ -z "$value" ] && { [ -z "$default" ] || [[ $kind == WORD* ]]; }; then continue; fi
    case $kind in
      BOOL | WORD*) ;;
      "{N}") if [[ ! $value =~ ^0*[1-9][0-9]*$ ]]; then fail "option --${name//_/-} expects a number from 1, got '$value'"; fi ;;
      "{Z}") if [[ ! $value =~ ^-?[0-9]+$ ]]; then fail "option --${name//_/-} expects a whole number, got '$value'"; fi ;;
      "{X}")
        if [[ ! $value =~ ^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$ ]]; then
          fail "option --${name//_/-} expects a number, got '$value'"
        fi
        ;;
      {*..*})
        kind=${kind:1:-1}
        if [[ ! $value =~ ^-?[0-9]{1,9}$ ]] || [ "$value" -lt "${kind%..*}" ] || [ "$value" -gt "${kind#*..}" ]; then
          fail "option --${name//_/-} expects a number from ${kind%..*} to ${kind#*..}, got '$value'"
        fi
        ;;
      *)
        kind=${kind:1:-1}
        if [[ ",$kind," != *",$value,"* ]]; then fail "--${name//_/-} must be one of ${kind//,/, }, not $value"; fi
        ;;
    esac
  done < <(own_options)
}

# usage [own]: the opening comment, the step's own options, and those of its program.
usage() {
  sed -n '2,${/^#/!q;s/^# \{0,1\}//p;}' "$0"
  printf '\noptions (--config FILE reads them from a file):\n'
  list_options
  if [ -z "$program" ] || [ $# -gt 0 ]; then return; fi
  printf '\noptions for hdnn %s:\n' "$program"
  # shellcheck disable=SC2086 # several words
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

# follow <name> <log> [JOB=1:4]: show the epochs in a training's log while it runs, or with an empty name how far jobs are, until
# stop_following or the end of the step.
follow() {
  "$(dirname "${BASH_SOURCE[0]}")/follow.py" "$1" "$2" $$ "${@:3}" &
  step_follower=$!
}
stop_following() {
  if [ -z "$step_follower" ]; then return 0; fi # the 0 counts in the trap of EXIT, where it would be the step's status
  kill "$step_follower" 2> /dev/null || true
  wait "$step_follower" || true # it reads the log to its end
  step_follower=
}

# lock_output <dir>: make it, and hold it until this step and its jobs have ended; end if another run holds it. A step that was
# started by the one that holds it goes on. Commands of hdnn hold .lock; a step's lock is another one, as its jobs are such.
# The jobs of run.py and run.pl inherit the open file, whatever they run, so that they hold the directory where they outlive the step.
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
  _step_locks+=("$lock") _step_handles+=("$handle")
  export HDNN_LOCKED=${HDNN_LOCKED:-}:$dir
  echo "${0##*/}, process $$ on $(uname -n), since $(date '+%F %T')" > "$lock" || true
}

# follow_jobs <launcher> <word>...: follow the jobs of a launcher's command line; nothing where the first word is none, or where
# the step follows them itself.
follow_jobs() {
  local array=() word
  if [ -n "$step_follower" ]; then return; fi
  case ${1##*/} in run.py | *.pl) ;; *) return ;; esac
  for word in "${@:2}"; do
    if [[ $word =~ ^[A-Za-z_][A-Za-z_0-9]*=[0-9]+(:[0-9]+)?$ ]]; then array=("$word"); fi
    if [[ $word == *.log ]]; then
      follow '' "$word" ${array[@]+"${array[@]}"}
      return
    fi
  done
}

# sweep_locks <dir>...: remove the lock files of commands that were killed; one that is held stays.
sweep_locks() {
  local lock
  if [ $# -eq 0 ]; then return 0; fi # find would take the current directory; the 0 counts in a trap
  while IFS= read -r -d '' lock; do
    flock -n "$lock" rm -f "$lock" || true
  done < <(find "$@" -maxdepth 3 -type f \( -name '.lock*' -o -name '.*.lock' -o -name '.*.lock.[0-9]*' \) -print0 2> /dev/null)
}

# submit <launcher or step> <word>...: run it, and end it where this step is told to end.
submit() {
  local status=0 followed=$step_follower
  follow_jobs "$@"
  set -m # a process group of its own, so that a signal reaches all of it
  "$@" < /dev/null &
  _step_job=$!
  set +m
  wait "$_step_job" || status=$?
  _step_job=''
  if [ -z "$followed" ]; then stop_following; fi
  return $status
}

# _step_stop <signal> <its number>: end what runs, and this step.
_step_stop() {
  trap '' HUP INT TERM
  if [ -n "$_step_job" ]; then
    kill -s TERM -- "-$_step_job" 2> /dev/null || true
    wait "$_step_job" || true
    for _step_word in ${_step_locks[@]+"${_step_locks[@]}"}; do sweep_locks "${_step_word%/*}"; done
    echo "${0##*/}: stopped by SIG$1; its jobs were ended" >&2
  fi
  exit $((128 + $2))
}
_step_end() {
  local handle lock
  stop_following || true
  for handle in "${_step_handles[@]}"; do exec {handle}>&-; done
  for lock in "${_step_locks[@]}"; do # one that is still held belongs to jobs that go on: their launcher was killed
    if [ -f "$lock" ]; then flock -n "$lock" rm -f "$lock" || true; fi
  done
}
_step_job='' _step_locks=() _step_handles=() step_follower=''
trap '_step_stop HUP 1' HUP
trap '_step_stop INT 2' INT
trap '_step_stop TERM 15' TERM
trap _step_end EXIT
export HDNN_STEPS="${HDNN_STEPS:-} $$" # run.py ends its jobs with any of them

echo "$0 $*" >&2
for _step_word in . "$(dirname "$0")"; do # of a recipe, where one is started from another directory
  if [ -f "$_step_word/path.sh" ]; then . "$_step_word/path.sh" && break; fi
done
if ! grep -q '^program=' "$0"; then program=; fi # whatever the environment calls so
program_options=() step_files=("${BASH_SOURCE[@]:1}") # this file may have been sourced by one that several steps share
step_options=$(own_options | cut -d $'\037' -f 1 | tr '\n' ' ')
. "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"
check_values
for _step_word in "${program_options[@]}"; do
  case $_step_word in --job=* | --num-jobs=*) fail "unknown option ${_step_word%%=*}; the number of jobs is --nj" ;; esac
done
check_arguments "$@"
if ! command -v hdnn > /dev/null; then fail "hdnn is not on PATH; '. <checkout>/path.sh' puts it there, after 'make env'"; fi
set -euo pipefail
