# shellcheck shell=bash
# The decoder of decode.sh and make_denlats.sh, and the pipe that feeds it. Sourced, not run.

# choose_decoder <auto|kaldi|k2> <threads>
# Sets `decoder` to kaldi (latgen-faster-mapped) or k2 (our own on k2, same arguments), `latgen` to its command, and
# `decoder_threads` to what the launcher should be told. auto takes Kaldi's where it is on PATH.
choose_decoder() {
  decoder=$1
  decoder_threads=()
  if [ "$decoder" = auto ]; then
    if command -v latgen-faster-mapped > /dev/null; then decoder=kaldi; else decoder=k2; fi
  fi
  case $decoder in
    k2) latgen=(python3 -m hdnn_nnet.bin.latgen) ;;
    kaldi)
      latgen=(latgen-faster-mapped)
      if [ "$2" -gt 1 ]; then
        latgen=(latgen-faster-mapped-parallel "--num-threads=$2")
        decoder_threads=(--num-threads "$(($2 + 1))")
      fi
      ;;
    *)
      echo "${0##*/}: --decoder must be auto, kaldi or k2, not $decoder" >&2
      exit 1
      ;;
  esac
}

# decode_jobs <jobs> <log> <forward options> <model-dir> <split-dir> <lattices> <options, model and graph of the decoder>...
# Lattices of all jobs, by the launcher `cmd`; JOB in the log's name and in the wspecifier of lattices is the job's number.
decode_jobs() {
  local jobs=$1 log=$2 forward_options=$3 model_dir=$4 split=$5 lattices=$6
  shift 6
  # The launchers set no pipefail. Without it a forward pass that ends early would pass for one with few utterances.
  # shellcheck disable=SC2086
  ${cmd:?} ${decoder_threads[@]+"${decoder_threads[@]}"} "JOB=1:$jobs" "$log" \
    set -o pipefail \; python3 -m hdnn_nnet.bin.forward $forward_options "$model_dir" "$split/JOB" ark:- \| \
    "${latgen[@]}" "$@" ark:- "$lattices" \|\| exit 1 # for queue.pl, which never ends where a command was killed (137)
}
