# shellcheck shell=bash
# What the experiments over several seeds share (kd_seeds.sh, smbr_seeds.sh). Sourced, not run; reads `jobs`, `parts`, `cmd`,
# `decode_opts` of the script.

# Wait until fewer than `jobs` models are in work.
next_slot() {
  while [ "$(jobs -rp | wc -l)" -ge "${jobs:?}" ]; do wait -n || true; done
}

# is_scored <model-dir> <part>: the network has been decoded and scored, since it was trained last.
is_scored() {
  local best=$1/decode_$2/scoring_kaldi/best_wer
  [ -s "$best" ] && [ ! "$1/final.safetensors" -nt "$best" ]
}

# same_settings <dir> <text>: keep what a directory is made with, and end if it was made with something else.
same_settings() {
  if [ -f "$1/settings" ] && [ "$(cat "$1/settings")" != "$2" ]; then
    echo "${0##*/}: $1 was made with other settings; remove it, or take another directory:" >&2
    diff "$1/settings" - <<< "$2" >&2 || true
    exit 1
  fi
  mkdir -p "$1"
  put "$1/settings" "$2"
}

# soft_labels <teacher>: its name, and a checksum of what make_soft_labels.sh says of them.
soft_labels() {
  echo "$1 $(cksum < "$1/info.json" 2> /dev/null || true)"
}

# same_decoding <graph-dir> <data-dir> <model-dir>: the sets of a model are decoded as before.
same_decoding() {
  local part
  for part in ${parts:?}; do same_settings "$3/decode_$part" "$(printf '%s\n' "graph $1" "data $2/$part" "options ${decode_opts:-}")"; done
}

# decode_parts <graph-dir> <data-dir> <model-dir>: decode and score the sets that are not yet.
decode_parts() {
  local part
  for part in ${parts:?}; do
    if ! is_scored "$3" "$part"; then
      # shellcheck disable=SC2086 # several words
      steps_py/decode.sh --cmd "${cmd:?}" ${decode_opts:-} "$1" "$2/$part" "$3/decode_$part" || return 1
    fi
  done
}

# show_table <model-dir>...: the table of all, means over the seeds and 95 % intervals; ends where one is not scored.
show_table() {
  local dir part dev evaluation
  for dir in "$@"; do
    for part in $parts; do
      if ! is_scored "$dir" "$part"; then
        echo "${0##*/}: $dir has no scored decode_$part; see $dir/log and run this again" >&2
        exit 1
      fi
    done
  done
  read -r dev evaluation <<< "$parts"
  hdnn wer-table --dev "decode_$dev" --eval "${evaluation:+decode_$evaluation}" "$@"
}
