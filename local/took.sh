# shellcheck shell=bash
# How long a part of a script took, its child processes included. Sourced, not run.

# begin_part: what `took` reports begins here.
begin_part() { _part_wall=$SECONDS _part_ticks=$(_child_ticks); }

# took <what> [<figures>]: the line that says it.
took() {
  local ticks=$(($(_child_ticks) - _part_ticks))
  echo "$0: $1 took $((SECONDS - _part_wall)) s, $((ticks / $(getconf CLK_TCK))) s of processor time${2:+; $2}" >&2
}

# Processor time of this shell's finished children (`times` is of no use here: in a subshell it begins at zero).
_child_ticks() { awk '{sub(/.*\) /, ""); print $14 + $15}' "/proc/$$/stat"; }
