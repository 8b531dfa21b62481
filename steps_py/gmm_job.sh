# shellcheck shell=bash
# One training of a GMM system as a job of the launcher `cmd`. The steps train_{mono,deltas,lda_mllt,sat}.sh source this instead
# of step.sh.

cmd=run.py
stage=0  # 1: only check that the result is there
. "$(dirname "${BASH_SOURCE[0]}")/step.sh" || exit 1

# gmm_job <exp-dir> <files that it must leave, in quotes> <command of hdnn and its words>...
# Passes are shown as they end. One thread a process: the processes are the parallelism, and BLAS threads would only get in
# their way.
gmm_job() {
  local dir=$1 log=$1/log/train.log name files=()
  for name in $2; do files+=("$dir/$name"); done
  lock_output "$dir"
  mkdir -p "$dir/log"
  if [ "$stage" -le 0 ]; then
    follow "$(basename "$dir")" "$log"
    submit $cmd "$log" env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 hdnn "${@:3}"
    stop_following
  fi
  need_output "$log" "${files[@]}"
  echo "$0: $(said_in "$log" "$dir: ")"
}
