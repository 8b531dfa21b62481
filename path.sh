#!/usr/bin/env bash
# The environment of every stage and of every queued job. Source it, from anywhere, as often as you like:
#   . ./path.sh
# queue.pl exports only PATH and sources ./path.sh in the job's directory, so all that a job needs is set here.
#
# Python:     the active virtual environment (VIRTUAL_ENV, or that of the python3 on PATH), else .venv of this checkout.
# KALDI_ROOT: real Kaldi is used only where this variable names it: one that merely lies on the disk must not change
#             results. In queued jobs the Kaldi programs come along with PATH.
# Threads:    left as the caller set them (OMP_NUM_THREADS and the like).

# Kaldi's perl scripts source this file by sh, which may be no bash: nothing that only bash knows, and the name ./path.sh.
# shellcheck disable=SC3028,SC2128 # BASH_SOURCE where there is bash
_hdnn_root=$(dirname "$(readlink -f "${BASH_SOURCE:-./path.sh}")")

# Put a directory at the front or at the back of PATH, where it occurs once only.
_hdnn_path() {
  local rest=":$PATH:"
  while case $rest in *":$2:"*) true ;; *) false ;; esac; do rest="${rest%%":$2:"*}:${rest#*":$2:"}"; done
  rest=${rest#:} rest=${rest%:}
  if [ "$1" = front ]; then PATH=$2${rest:+:$rest}; else PATH=${rest:+$rest:}$2; fi
}

_hdnn_path front "$_hdnn_root/local"
_hdnn_path front "$_hdnn_root/steps_py" # before Kaldi's utils: run.py and parse_options.sh are ours

_hdnn_python=$(command -v python3 || true)
if [ -n "${VIRTUAL_ENV:-}" ] && [ -x "$VIRTUAL_ENV/bin/python3" ]; then
  : # the caller's choice
elif [ -f "${_hdnn_python%/bin/python3}/pyvenv.cfg" ]; then
  export VIRTUAL_ENV=${_hdnn_python%/bin/python3}
elif [ -x "$_hdnn_root/.venv/bin/python3" ]; then
  export VIRTUAL_ENV=$_hdnn_root/.venv
else
  unset VIRTUAL_ENV
  if [ -z "$_hdnn_python" ]; then echo "path.sh: no python3 here; 'make env' builds the environment" >&2; fi
fi
if [ -n "${VIRTUAL_ENV:-}" ]; then _hdnn_path front "$VIRTUAL_ENV/bin"; fi

if [ -n "${KALDI_ROOT:-}" ]; then
  if [ -d "$KALDI_ROOT/egs/wsj/s5/utils" ]; then
    for _hdnn_dir in "$KALDI_ROOT"/egs/wsj/s5/utils "$KALDI_ROOT"/tools/openfst/bin "$KALDI_ROOT"/tools/sctk/bin "$KALDI_ROOT"/src/*bin; do
      if [ -d "$_hdnn_dir" ]; then _hdnn_path back "$_hdnn_dir"; fi
    done
    unset _hdnn_dir
    export KALDI_ROOT
  else
    echo "path.sh: KALDI_ROOT=$KALDI_ROOT holds no Kaldi (egs/wsj/s5/utils is missing); correct it or unset it" >&2
    unset -f _hdnn_path
    unset _hdnn_root _hdnn_python
    return 1
  fi
fi

export PATH
export LC_ALL=C # Kaldi's tables are sorted in byte order
if ! command -v hdnn > /dev/null; then
  echo "path.sh: no command hdnn; 'make env' builds the environment, 'pip install --no-deps -e $_hdnn_root' adds it to yours" >&2
fi
unset -f _hdnn_path
unset _hdnn_root _hdnn_python
