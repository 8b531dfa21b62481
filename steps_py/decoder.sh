# shellcheck shell=bash disable=SC2154
# The decoder of decode.sh and make_denlats.sh, and the pipe that feeds it. They source this instead of step.sh.

nj=4
cmd=run.py
beam=13.0
acwt=0.1            # acoustic scale; matters for pruning only, scoring tries many
min_active=200
num_threads=1       # more than 1: latgen-faster-mapped-parallel; only with Kaldi's decoder
decoder=auto        # {auto,kaldi,k2,numpy} auto: kaldi where it is on PATH, else k2 where it is installed, else numpy
forward_opts=       # options for hdnn forward, as one word, for example "--device cuda"
latgen_opts=        # more options for the decoder, as one word
. "$(dirname "${BASH_SOURCE[0]}")/step.sh" || exit 1
. "$(dirname "${BASH_SOURCE[0]}")/decoder_jobs.sh"
