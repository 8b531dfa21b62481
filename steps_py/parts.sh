# shellcheck shell=bash disable=SC2154
# Array jobs of which those that had ended are kept when their step is started again. Sourced behind the options, not run.

# begin_parts <directory> <options> <features> <input>... -- <file>...: go on with the parts that an earlier run ended, if it had
# the same options, number of jobs and contents of the inputs; else remove the files that it left, which would hide what is missing
# or pass for the result of this run. Features are taken to be the same unless their script is newer. end_parts when all is there.
begin_parts() {
  local dir=$1 settings="$nj parts: $2" features=$3 inputs=()
  shift 3
  while [ "$1" != -- ]; do inputs+=("$1") && shift; done
  settings+=$'\n'$(cksum "$features" "${inputs[@]}" 2> /dev/null || true)
  if [ -f "$dir/.parts" ] && [ "$(cat "$dir/.parts")" = "$settings" ] && [ ! "$features" -nt "$dir/.parts" ]; then
    echo "$0: $(find "$dir" -maxdepth 1 -name '.done.*' | wc -l) of $nj parts are there from an earlier run"
  else
    rm -rf "$dir/.parts" "$dir"/.done.* "${@:2}" # in this order: a mark never stands without its files
    put "$dir/.parts" "$settings"
  fi
}

# end_parts <directory> <file>...: a next run begins anew. The files are those of the parts that nobody needs any longer; they go
# last, for what was stopped before, were it even while they are collected, goes on with them.
end_parts() { rm -f "$1"/.done.* "$1/.parts" && rm -f "${@:2}"; }

# as_part <mark> <log> <word>...: make `job` the words of a job that leaves a copy of its log as <mark> when it ends well; where
# that is there, it is all the job writes. Status 1 whatever happened: queue.pl never ends where a command was killed (137).
as_part() { job=(test -e "$1" \&\& cat "$1" \|\| \( "${@:3}" \&\& cp "$2" "$1" \) \|\| exit 1); }

# submit_parts <directory> <log> <word>...: all parts that are not there, JOB in the words being the part's number.
submit_parts() {
  local job
  as_part "$1/.done.JOB" "$2" "${@:3}"
  # shellcheck disable=SC2086 # the launcher may be several words
  submit $cmd "JOB=1:$nj" "$2" "${job[@]}" || fail "a job died; see $2; run again: the parts that ended are kept"
}

# collect_alignments <directory> <word>...: complete the directory after its jobs. Whether it is whole or not, a next run begins anew.
collect_alignments() {
  local failed=false
  # shellcheck disable=SC2086 # the launcher may be several words
  submit $cmd "$1/log/collect.log" hdnn "${@:2}" --num-jobs "$nj" || failed=true
  end_parts "$1" "$1"/unaligned.*
  if $failed; then exit 1; fi
}
