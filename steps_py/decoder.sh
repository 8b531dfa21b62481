# shellcheck shell=bash disable=SC2154
# The decoder of decode.sh and make_denlats.sh, and the pipe that feeds it. They source this instead of step.sh.

nj=4
cmd=run.py
beam=13.0
acwt=0.1            # acoustic scale; matters for pruning only, scoring tries many
min_active=200
num_threads=1       # more than 1: latgen-faster-mapped-parallel; only with Kaldi's decoder
decoder=auto        # kaldi, k2, or auto: kaldi where it is on PATH
forward_opts=       # options for hdnn forward, as one word, for example "--device cuda"
latgen_opts=        # more options for the decoder, as one word
. "$(dirname "${BASH_SOURCE[0]}")/step.sh" || exit 1

# choose_decoder <more options of either decoder>...: set `decoder` to kaldi (latgen-faster-mapped) or k2 (our own, with the same
# arguments), `forward` and `latgen` to the commands, and `decoder_threads` to what the launcher should be told.
choose_decoder() {
  local search=("--min-active=$min_active" "--max-active=$max_active" "--max-mem=$max_mem" "--beam=$beam"
    "--lattice-beam=$lattice_beam" "--acoustic-scale=$acwt" "$@")
  if [ "$decoder" = auto ]; then if command -v latgen-faster-mapped > /dev/null; then decoder=kaldi; else decoder=k2; fi; fi
  forward=(hdnn forward $forward_opts) latgen=(hdnn latgen "${search[@]}") decoder_threads=()
  check_options "${forward[@]:1}" model data ark:-
  check_options "${latgen[@]:1}" model graph ark:- ark:-
  case $decoder in
    k2) ;;
    kaldi)
      latgen=(latgen-faster-mapped "${search[@]}")
      if [ "$num_threads" -gt 1 ]; then
        latgen=(latgen-faster-mapped-parallel "--num-threads=$num_threads" "${search[@]}")
        decoder_threads=(--num-threads "$((num_threads + 1))")
      fi
      ;;
    *) fail "--decoder must be auto, kaldi or k2, not $decoder" ;;
  esac
  latgen+=($latgen_opts)
  if [ "$decoder" = k2 ]; then check_options "${latgen[@]:1}" model graph ark:- ark:-; fi
}

# decode_jobs <log> <model-dir> <split-dir> <transition model> <graph> <lattices>: lattices of all jobs. JOB in the log's name and
# in the wspecifier of lattices is the job's number.
decode_jobs() {
  # The launchers set no pipefail. Without it a forward pass that ends early would pass for one with few utterances.
  $cmd "${decoder_threads[@]}" "JOB=1:$nj" "$1" set -o pipefail \; "${forward[@]}" "$2" "$3/JOB" ark:- \| \
    "${latgen[@]}" "$4" "$5" ark:- "$6" \|\| exit 1 # for queue.pl, which never ends where a command was killed (137)
}
