#!/usr/bin/env bash
# From a meeting corpus to word error rates of small-footprint highway networks.
#
#   ./run.sh --corpus mini                          an embedded synthetic corpus: no Kaldi, no AMI, minutes on two cores
#   ./run.sh --corpus ami --amicorpus DIR --annotations DIR
#
# Every stage can be repeated; --stage N starts at stage N, --stop-stage N ends after it:
#   0 corpus   1 data directories   2 dictionary, lang, language model   3 features
#   4 monophone GMM and alignment   5 decoding graph   6 networks by cross-entropy   7 decoding   8 table and figure

# Begin configuration.
corpus=mini            # mini or ami
stage=0
stop_stage=8
nj=                    # parallel jobs; default: the cores of this machine (mini), 16 (ami)
amicorpus=             # ami: directory with <meeting>/audio/<meeting>.Headset-N.wav
annotations=           # ami: the manual annotations, release 1.6.2
hours_train=0.75       # mini: training speech to synthesise
units=phones           # phones (CMUdict) or bpe (sentencepiece; no word is out of vocabulary)
networks="hdnn-h128l10 dnn-h128l10"
feat_type=fbank        # features of the networks: fbank (40 log-mel) or mfcc
cmvn_opts="--norm-means=true --norm-vars=true"
seed=777
device=auto
num_procs=1            # training processes (torchrun)
max_iters=20
beam=13.0
lattice_beam=8.0
max_active=7000
decoder=auto
# End configuration.

cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
. ./path.sh || exit 1
. ./cmd.sh
. parse_options.sh || exit 1
set -euo pipefail

case $corpus in
  mini) nj=${nj:-$(nproc)}; lm_prune=0; lm=lm ;;
  ami) nj=${nj:-16}; lm_prune=1e-7; lm=lm_pruned ;;
  *) echo "$0: --corpus must be mini or ami, not $corpus" >&2; exit 1 ;;
esac
if [ $# -ne 0 ]; then
  echo "usage: $0 [--corpus mini|ami] [--stage N] [--stop-stage N] [--nj N] ... (see the top of $0)" >&2
  exit 1
fi

data=data/$corpus          # data/mini/ihm/train ...
exp=exp/$corpus
netdata=$data/$feat_type   # the data directories with the networks' features
stage_name=
on_exit() {
  local status=$?
  if [ $status -ne 0 ] && [ -n "$stage_name" ]; then
    echo "$0: stage $stage_name failed; mend it and go on with --stage ${stage_name%% *}" >&2
  fi
}
trap on_exit EXIT

# True if the stage is to be run; says so.
run_stage() {
  stage_name="$1 ($2)"
  if [ "$stage" -gt "$1" ] || [ "$stop_stage" -lt "$1" ]; then return 1; fi
  echo "=== stage $1: $2 ($(date +%H:%M:%S))" >&2
}

if run_stage 0 "corpus"; then
  if [ "$corpus" = mini ]; then
    local/make_mini_corpus.sh --hours-train "$hours_train" --nj "$nj" corpus/mini
  else
    for d in "$amicorpus" "$annotations/words"; do
      if [ ! -d "$d" ]; then
        echo "$0: '$d' is no directory; give --amicorpus and --annotations (AMI: https://groups.inf.ed.ac.uk/ami)" >&2
        exit 1
      fi
    done
  fi
fi
if [ "$corpus" = mini ]; then
  amicorpus=corpus/mini
  annotations=corpus/mini/ami_public_manual_1.6.2
fi

if run_stage 1 "data directories"; then
  local/prepare_ami.sh --nj "$nj" "$amicorpus" "$annotations" "$data"
fi

if run_stage 2 "dictionary, lang, language model"; then
  python3 local/prepare_dict.py --units "$units" "$data/ihm/train/text" "$data/dict"
  python3 local/prepare_lang.py "$data/dict" '<unk>' "$data/lang"
  python3 local/train_lm.py --prune "$lm_prune" --vocab "$data/dict/lexicon.txt" --test "$data/ihm/eval/text" \
    "$data/ihm/dev/text" "$data/lm" "$data/ihm/train/text"
  python3 local/format_lm.py "$data/lang" "$data/lm/$lm.arpa.gz" "$data/lang_tg"
fi

if run_stage 3 "features"; then
  for part in train dev eval; do
    for type in mfcc "$feat_type"; do
      mkdir -p "$data/$type/$part"
      for f in wav.scp segments text utt2spk spk2utt reco2file_and_channel stm glm; do
        if [ -f "$data/ihm/$part/$f" ]; then cp "$data/ihm/$part/$f" "$data/$type/$part/"; fi
      done
      steps_py/make_feats.sh --type "$type" --nj "$nj" --cmd "$train_cmd" "$data/$type/$part"
    done
  done
  python3 -m hdnn_nnet.bin.split_tr_cv "$netdata/train" "$netdata/train_tr90" "$netdata/train_cv10"
fi

if run_stage 4 "monophone GMM and alignment"; then
  steps_py/train_mono.sh --nj "$nj" --cmd "$train_cmd" "$data/mfcc/train" "$data/lang" "$exp/mono"
  steps_py/align_mono.sh --nj "$nj" --cmd "$train_cmd" "$data/mfcc/train" "$data/lang" "$exp/mono" "$exp/mono_ali"
fi

if run_stage 5 "decoding graph"; then
  steps_py/mkgraph.sh "$data/lang_tg" "$exp/mono" "$exp/mono/graph"
fi

if run_stage 6 "networks by cross-entropy"; then
  for network in $networks; do
    steps_py/train_ce.sh --cmd "$cuda_cmd" --network "$network" --cmvn-opts "$cmvn_opts" --seed "$seed" \
      --device "$device" --num-procs "$num_procs" --max-iters "$max_iters" \
      "$netdata/train_tr90" "$netdata/train_cv10" "$data/lang" "$exp/mono_ali" "$exp/mono_ali" "$exp/$network"
  done
fi

if run_stage 7 "decoding"; then
  for network in $networks; do
    for part in dev eval; do
      steps_py/decode.sh --nj "$nj" --cmd "$decode_cmd" --beam "$beam" --lattice-beam "$lattice_beam" \
        --max-active "$max_active" --decoder "$decoder" "$exp/mono/graph" "$netdata/$part" "$exp/$network/decode_$part"
    done
  done
fi

if run_stage 8 "table and figure"; then
  dirs=()
  for network in $networks; do dirs+=("$exp/$network"); done
  python3 -m hdnn_nnet.bin.plot_training "$exp/training.png" "${dirs[@]}"
  python3 -m hdnn_nnet.bin.wer_table "${dirs[@]}" | tee "$exp/wer.md"
fi
