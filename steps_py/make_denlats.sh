#!/usr/bin/env bash
# Denominator lattices for sequence training: decode the training data with a unigram grammar of its transcripts
# (argument order of Kaldi's steps/nnet/make_denlats.sh). Writes lat.scp with absolute paths to the uncompressed
# lat.N.ark, and the graph in dengraph/. Takes Kaldi's latgen-faster-mapped where it is on PATH, else our own.
# usage: make_denlats.sh [options] <data-dir> <lang-dir> <src-dir> <denlats-dir>
# e.g.:  make_denlats.sh --nj 8 --cmd run.py data/ihm/train data/lang exp/ihm/hdnn_h128l10 exp/ihm/hdnn_h128l10_denlats
# Started again after it was stopped, it goes on with the parts that had not ended, if nothing else has changed.

lattice_beam=7.0
max_active=5000
max_mem=20000000    # of Kaldi's determinisation, in bytes
dengraph=           # graph directory to take; default: made in <denlats-dir>/dengraph unless it is up to date
mkgraph_opts=       # options for steps_py/mkgraph.sh, as one word
sub_split=          # {N} parts of a job, each with an archive of its own; default: as many as give parts of at most 200 utterances
max_missing=        # share of utterances that may have no lattice; default: that of hdnn collect lattices
. "$(dirname "$0")/decoder.sh" || exit 1
data=$1 lang=$2 src=$3 dir=$4

choose_decoder "--word-symbol-table=$lang/words.txt"
collect=(collect lattices ${max_missing:+"--max-missing=$max_missing"})
check_options "${collect[@]}" "$nj" "$data" "$src" "$dir"
needed=("$data/text" "$src/tree" "$lang"/{L_disambig.fst,phones/disambig.int,oov.int})
if [ -n "$dengraph" ]; then needed=("$dengraph/HCLG.fst"); fi
need_files "$data"/{feats.scp,utt2spk} "$lang/words.txt" "$src/final.mdl" "${needed[@]}"
need_model "$src"
lock_output "$dir"
mkdir -p "$dir/log"
dir=$(cd "$dir" && pwd) # so that lat.scp holds from any directory
if [ -z "$dengraph" ]; then
  dengraph=$dir/dengraph
  echo "$0: $(hdnn lang unigram "$data" "$lang" "$src" "$dir/lang")"
  # shellcheck disable=SC2086 # several words
  submit "$(dirname "$0")/mkgraph.sh" --cmd "$cmd" $mkgraph_opts "$dir/lang" "$src" "$dengraph"
fi
jobs=$nj parts=$((nj * ${sub_split:-($(wc -l < "$data/feats.scp") + 200 * nj - 1) / (200 * nj)}))
speakers=$(awk '!seen[$2]++' "$data/utt2spk" | wc -l) # of whom none is split
if [ "$parts" -gt "$speakers" ]; then parts=$((speakers > jobs ? speakers : jobs)); fi
nj=$(hdnn data split "$data" "$parts")
if [ "$nj" -gt "$jobs" ]; then
  cores=$(env -u OMP_NUM_THREADS nproc)
  if [[ $cmd == run.py* ]] && [ "$cores" -lt "$jobs" ]; then jobs=$cores; fi
  at_a_time=(--max-jobs-run "$jobs")
fi
inputs=("$dengraph/HCLG.fst")
begin_decoding "$dir" "$data" "$src" "$dir"/lat.scp "$dir"/lat.*.scp "$dir"/lat.*.ark
# As in Kaldi's step, an utterance whose search ends in no final state gets no lattice. Those of a job that died are named, and
# none of them may be missing.
died=false
decode_jobs "$dir/log/decode_den.JOB.log" "$src" "$data/split$nj" "$src/final.mdl" "$dengraph/HCLG.fst" \
  "ark,scp:$dir/lat.JOB.ark,$dir/lat.JOB.scp" "$dir/.done.JOB" || died=true
if $died; then collect+=(--max-missing=0); fi
if ! counts=$(hdnn "${collect[@]}" "$nj" "$data" "$src" "$dir"); then
  if $died; then fail "a job died; regenerate the lattices: the parts that ended are kept"; fi
  end_parts "$dir" # what ended well is not whole
  exit 1
fi
if $died; then rm -f "$dir/lat.scp" && fail "a job died (see above), $counts; regenerate the lattices"; fi
end_parts "$dir"
echo "$0: $counts in $dir/lat.scp ($decoder decoder, $jobs jobs)"
