#!/usr/bin/env bash
# Command-line options of a script, in Kaldi's manner. A script sets its defaults, then sources this file:
#   nj=4
#   use_gpu=false
#   . parse_options.sh
#   echo "$nj jobs, arguments: $*"
# and `script.sh --nj 8 --use-gpu true --config conf/x.conf data exp` sets the variables and leaves the arguments.
#
# --a-b VALUE    sets a_b, which the script must have set before; its default true or false makes it a boolean
# --config FILE  a file of shell assignments (a_b=value); the command line wins over it
# --help         prints $help_message, else calls the script's function `usage`, else prints the script's opening comment
# --             ends the options
# Works under `set -euo pipefail` and without it.

# Files first, so that the command line wins wherever it stands.
for ((_po_i = 1; _po_i < $#; _po_i += 2)); do
  case ${!_po_i} in
    --config)
      _po_file=${*:_po_i+1:1}
      if [ ! -r "$_po_file" ]; then
        echo "${0##*/}: cannot read the configuration file '$_po_file'" >&2
        exit 1
      fi
      case $_po_file in */*) ;; *) _po_file=./$_po_file ;; esac
      # shellcheck disable=SC1090
      . "$_po_file"
      ;;
    --?*) ;;
    *) break ;;
  esac
done

while [ $# -gt 0 ]; do
  case $1 in
    --)
      shift
      break
      ;;
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
    --*=*)
      echo "${0##*/}: options are written --name value, not $1" >&2
      exit 1
      ;;
    --*)
      _po_name=${1#--}
      _po_name=${_po_name//-/_}
      # Lower case only, so that no option can overwrite PATH and its like.
      if [[ ! $_po_name =~ ^[a-z][a-z0-9_]*$ ]] || { [ "$_po_name" != config ] && [ -z "${!_po_name+set}" ]; }; then
        echo "${0##*/}: unknown option $1; see --help" >&2
        exit 1
      fi
      if [ $# -lt 2 ]; then
        echo "${0##*/}: option $1 needs a value" >&2
        exit 1
      fi
      if [[ ${!_po_name-} =~ ^(true|false)$ && ! $2 =~ ^(true|false)$ ]]; then
        echo "${0##*/}: option $1 expects true or false, got '$2'" >&2
        exit 1
      fi
      printf -v "$_po_name" '%s' "$2"
      shift 2
      ;;
    *) break ;;
  esac
done
unset _po_i _po_file _po_name

# An empty launcher would run the log file's name as a command.
if [ -n "${cmd+set}" ] && [ -z "$cmd" ]; then
  echo "${0##*/}: empty argument to --cmd" >&2
  exit 1
fi
