# shellcheck shell=bash
# What the experiments over several seeds share (kd_seeds.sh, smbr_seeds.sh). Sourced, not run; reads `jobs`, `parts`, `cmd`,
# `decode_opts` of the script.

# Wait until fewer than `jobs` models are in work.
next_slot() {
  while [ "$(jobs -rp | wc -l)" -ge "${jobs:?}" ]; do wait -n || true; done
}

# is_scored <decode-dir>
is_scored() {
  [ -s "$1/scoring_kaldi/best_wer" ]
}

# decode_parts <graph-dir> <data-dir> <model-dir>: decode and score the sets that are not yet.
decode_parts() {
  local part
  for part in ${parts:?}; do
    if ! is_scored "$3/decode_$part"; then
      # shellcheck disable=SC2086
      steps_py/decode.sh --cmd "${cmd:?}" ${decode_opts:-} "$1" "$2/$part" "$3/decode_$part" || return 1
    fi
  done
}

# show_table <model-dir>...: the table of all, means and standard deviations over the seeds; ends where one is not scored.
show_table() {
  local dir part dev evaluation
  for dir in "$@"; do
    for part in $parts; do
      if ! is_scored "$dir/decode_$part"; then
        echo "${0##*/}: $dir has no scored decode_$part; see $dir/log and run this again" >&2
        exit 1
      fi
    done
  done
  read -r dev evaluation <<< "$parts"
  python3 -m hdnn_nnet.bin.wer_table --dev "decode_$dev" --eval "${evaluation:+decode_$evaluation}" "$@"
}
