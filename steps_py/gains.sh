# shellcheck shell=bash
# What speaker transforms gain, from the logs of their jobs. Sourced, not run.

# gains <log>...: gain a frame over the frames of all jobs, and the speakers that keep the identity.
gains() {
  cat "$@" | awk '/fMLLR of [0-9]* speakers: gain/ {
      for (i = 1; i < NF; i++) {
        if ($i == "gain") g = $(i + 1)
        if ($i == "over") {n += $(i + 1); sum += g * $(i + 1)}
        if ($(i + 1) == "with") kept += $i
      }
    }
    END {printf "%.4f a frame, %d speakers with the identity", sum / (n ? n : 1), kept}'
}
