#!/usr/bin/env bash
# Command-line options of a script, in Kaldi's manner. A script sets its defaults, then sources this file:
#   nj=4
#   use_gpu=false
#   . parse_options.sh
#   echo "$nj jobs, arguments: $*"
# and `script.sh --nj 8 --use-gpu true --config conf/x.conf data exp` sets the variables and leaves the arguments.
#
# --a-b VALUE    sets a_b, which the script must have set before; its default true or false makes it a boolean
# --config FILE  lines a_b=value, with quotes around what has spaces, or --a-b=value as Kaldi's programs read them; `#` begins
#                a comment, nothing is expanded; the command line wins over the file
# --help         prints $help_message, else calls the script's function `usage`, else prints the script's opening comment
# --             ends the options
# Works with and without `set -euo pipefail`. step.sh says in step_options which options are a step's own; all others then go
# to the array program_options, as --a-b=VALUE, if the step has a program.

_po_fail() { echo "${0##*/}: $1" >&2; exit 1; }

# _po_set <name> <value> [<where>]: set an option's variable, or keep the option for the program.
_po_set() {
  local _po_name=${1//-/_} _po_own=false
  # Lower case only, so that no option can overwrite PATH and its like.
  if [[ ! $_po_name =~ ^[a-z][a-z0-9_]*$ ]]; then _po_fail "${3:-}unknown option --$1; see --help"; fi
  if [ -z "${step_options+set}" ]; then
    if [ -n "${!_po_name+set}" ]; then _po_own=true; fi
  elif [[ " $step_options " == *" $_po_name "* ]]; then _po_own=true; fi
  if $_po_own; then
    if [[ ${!_po_name} =~ ^(true|false)$ && ! $2 =~ ^(true|false)$ ]]; then
      _po_fail "${3:-}option --$1 expects true or false, got '$2'"
    fi
    printf -v "$_po_name" '%s' "$2"
  elif [ -n "${step_options+set}" ] && [ -n "$program" ]; then
    program_options+=("--${_po_name//_/-}=$2")
  else
    _po_fail "${3:-}unknown option --$1; see --help"
  fi
}

# _po_read <file>: set the options of a configuration file.
_po_read() {
  local _po_line _po_value _po_number=0 _po_name='([A-Za-z][A-Za-z0-9_-]*)' _po_end='[[:space:]]*(#.*)?$'
  # What a shell would expand, or take for another command, is refused and not guessed at.
  local _po_shell="^[[:space:]]*$_po_name=(\"[^\"\$\`\\\\]*\"|'[^']*'|[A-Za-z0-9_.,:+/@%=-]*)$_po_end"
  local _po_kaldi="^[[:space:]]*--$_po_name=(\"[^\"]*\"|'[^']*'|[^#]*)$_po_end"
  if [ ! -r "$1" ] || [ -d "$1" ]; then _po_fail "cannot read the configuration file '$1'"; fi
  while IFS= read -r _po_line || [ -n "$_po_line" ]; do
    _po_number=$((_po_number + 1))
    if [ $_po_number = 1 ]; then _po_line=${_po_line#$'\xef\xbb\xbf'}; fi # a byte-order mark
    if [[ $_po_line =~ ^$_po_end ]]; then continue; fi
    if [[ ! $_po_line =~ $_po_shell && ! $_po_line =~ $_po_kaldi ]]; then
      _po_fail "$1, line $_po_number: expected name=value or --name=value, with quotes around spaces, not '$_po_line'"
    fi
    _po_value=${BASH_REMATCH[2]%"${BASH_REMATCH[2]##*[![:space:]]}"}
    case $_po_value in \"*\" | \'*\') _po_value=${_po_value:1:-1} ;; esac
    _po_set "${BASH_REMATCH[1]}" "$_po_value" "$1, line $_po_number: "
  done < "$1"
}

# Files first, so that the command line wins wherever it stands.
for ((_po_i = 1; _po_i < $#; _po_i += 2)); do
  case ${!_po_i} in
    --config) _po_read "${*:_po_i+1:1}" ;;
    --?*) ;;
    *) break ;;
  esac
done

while [ $# -gt 0 ]; do
  case $1 in
    --) shift && break ;;
    --help | -h)
      if [ -n "${help_message:-}" ]; then
        printf '%b\n' "$help_message"
      elif declare -F usage > /dev/null; then
        (usage) || true
      else
        sed -n '2,${/^#/!q;s/^# \{0,1\}//p;}' "$0"
      fi
      exit 0
      ;;
    --*=*) _po_fail "options are written --name value, not $1" ;;
    --*)
      if [ $# -lt 2 ]; then _po_fail "option $1 needs a value"; fi
      if [ "$1" != --config ]; then _po_set "${1#--}" "$2"; fi
      shift 2
      ;;
    *) break ;;
  esac
done
# An empty launcher would run the log file's name as a command.
if [ -n "${cmd+set}" ] && [ -z "$cmd" ]; then _po_fail "empty argument to --cmd"; fi
unset _po_i
unset -f _po_fail _po_set _po_read
