# shellcheck shell=bash disable=SC2154
# The decoder as functions, and the pipe that feeds it, for decoder.sh and decode_fmllr.sh. Sourced behind the options, not run.
# `scorer` is the command of hdnn that makes the log-likelihoods; default: forward.

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

# begin_decoding <directory> <data-dir> <model-dir> <file>...: go on with the parts that an earlier run of the same ended, or
# remove the files that it left, which would hide missing lattices or pass for the result of this one. What else the lattices
# depend on is in `inputs`. Features are taken to be the same unless their script is newer. end_decoding when all is there.
begin_decoding() {
  local dir=$1 data=$2 model=$3 settings
  shift 3
  settings="$nj parts: ${forward[*]} | ${latgen[*]}
$(cksum "$model"/final.* "$model"/*_opts "$model"/*counts "${inputs[@]}" "$data"/{feats.scp,utt2spk} 2> /dev/null || true)"
  if [ -f "$dir/.parts" ] && [ "$(cat "$dir/.parts")" = "$settings" ] && [ ! "$data/feats.scp" -nt "$dir/.parts" ]; then
    echo "$0: $(find "$dir" -maxdepth 1 -name '.done.*' | wc -l) of $nj parts are there from an earlier run"
  else
    rm -rf "$@" "$dir"/.done.*
    put "$dir/.parts" "$settings"
  fi
  put "$dir/num_jobs" "$nj"
}

# end_decoding <directory>: a next run begins anew.
end_decoding() { rm -f "$1"/.done.* "$1/.parts"; }

# decode_jobs <log> <model-dir> <split-dir> <transition model> <graph> <lattices> [<mark>]: lattices of all jobs. JOB in the log's
# name, in the wspecifier of lattices and in <mark> is the job's number. A job that ends well leaves a copy of its log as <mark>, if
# one is named; where it is there, that is all the job writes. `at_a_time` is what the launcher is told of how many jobs may run.
decode_jobs() {
  # The launchers set no pipefail. Without it a forward pass that ends early would pass for one with few utterances.
  local job=(set -o pipefail \; "${forward[@]}" "$2" "$3/JOB" ark:- \| "${latgen[@]}" "$4" "$5" ark:- "$6")
  if [ -n "${7:-}" ]; then
    job=(test -e "$7" \&\& cat "$7" \|\| \( "${job[@]}" \&\& cp "$1" "$7" \))
  fi
  # shellcheck disable=SC2086 # the launcher may be several words
  submit $cmd "${decoder_threads[@]}" ${at_a_time[@]+"${at_a_time[@]}"} "JOB=1:$nj" "$1" "${job[@]}" \
    \|\| exit 1 # for queue.pl, which never ends where a command was killed (137)
}
