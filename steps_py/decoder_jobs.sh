# shellcheck shell=bash disable=SC2154
# The decoder as functions, and the pipe that feeds it, for decoder.sh and decode_fmllr.sh. Sourced behind the options, not run.
# `scorer` is the command of hdnn that makes the log-likelihoods; default: forward.
. "$(dirname "${BASH_SOURCE[0]}")/parts.sh"

# choose_decoder <more options of either decoder>...: set `decoder` to kaldi (latgen-faster-mapped), k2 or numpy (our own, with the
# same arguments), `forward` and `latgen` to the commands, and `decoder_threads` to what the launcher should be told.
choose_decoder() {
  local search=("--min-active=$min_active" "--max-active=$max_active" "--max-mem=$max_mem" "--beam=$beam"
    "--lattice-beam=$lattice_beam" "--acoustic-scale=$acwt" "$@")
  if [ "$decoder" = auto ]; then
    decoder=kaldi
    if ! command -v latgen-faster-mapped > /dev/null; then
      decoder=$(python3 -c 'from importlib.util import find_spec; print("k2" if find_spec("k2") else "numpy")') || exit 1
    fi
  fi
  forward=(hdnn ${scorer:-forward} $forward_opts) latgen=(hdnn latgen "${search[@]}") decoder_threads=()
  check_options "${forward[@]:1}" model data ark:-
  check_options "${latgen[@]:1}" model graph ark:- ark:-
  case $decoder in
    k2 | numpy) latgen+=("--search=$decoder") ;;
    kaldi)
      latgen=(latgen-faster-mapped "${search[@]}")
      if [ "$num_threads" -gt 1 ]; then
        latgen=(latgen-faster-mapped-parallel "--num-threads=$num_threads" "${search[@]}")
        decoder_threads=(--num-threads "$((num_threads + 1))")
      fi
      ;;
  esac
  latgen+=($latgen_opts)
  if [ "$decoder" != kaldi ]; then check_options "${latgen[@]:1}" model graph ark:- ark:-; fi
}

# begin_decoding <directory> <data-dir> <model-dir> <file>...: begin_parts of a decoding; what else the lattices depend on is in
# `inputs`. end_parts when all is there.
begin_decoding() {
  begin_parts "$1" "${forward[*]} | ${latgen[*]}" "$2/feats.scp" "$3"/final.* "$3"/*_opts "$3"/*counts "${inputs[@]}" \
    "$2/utt2spk" -- "${@:4}"
  put "$1/num_jobs" "$nj"
}

# decode_jobs <log> <model-dir> <split-dir> <transition model> <graph> <lattices> <mark>: lattices of all jobs, as parts. JOB in the
# log's name, in the wspecifier of lattices and in <mark> is the job's number. `at_a_time` is what the launcher is told of how many
# jobs may run.
decode_jobs() {
  # The launchers set no pipefail. Without it a forward pass that ends early would pass for one with few utterances.
  local job job_words=(set -o pipefail \; "${forward[@]}" "$2" "$3/JOB" ark:- \| "${latgen[@]}" "$4" "$5" ark:- "$6")
  as_part "$7" "$1" "${job_words[@]}"
  # shellcheck disable=SC2086 # the launcher may be several words
  submit $cmd "${decoder_threads[@]}" ${at_a_time[@]+"${at_a_time[@]}"} "JOB=1:$nj" "$1" "${job[@]}"
}
