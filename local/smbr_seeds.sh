#!/usr/bin/env bash
# Sequence training of given models: every weight p of the smoothing, and subsets of the parameters (the tables of the SLT and
# ICASSP papers). A model trained by distillation (its file `criterion` begins with KD) is smoothed by the teacher, another by
# cross-entropy. Alignments and denominator lattices are those of each model itself. Prints the table with the models as they
# were; names that end in _s<seed> are grouped: means with 95 % intervals from seeds and test set. What is finished is left alone.
# usage: smbr_seeds.sh [options] <data-dir> <lang-dir> <graph-dir> <model-dir>...
# e.g.:  smbr_seeds.sh --teacher exp/mini/soft data/mini/fmllr data/mini/lang exp/mini/tri4a/graph exp/kd/hdnn-h128l10_ce_s777

smooth_ce="0 0.2"     # p for models by cross-entropy
smooth_kd="0.2 0.5"   # p for distilled ones
teacher=              # soft labels (or what train_smbr.sh takes); needed where a model is distilled
updates="all"         # parameter groups that move: all, gates, gates,softmax ...; others than all at subset_ce and subset_kd
subset_ce=0.2
subset_kd=0.2
parts="dev eval"      # sets to decode; the first chooses weight and penalty
jobs=1                # models side by side
nj=1                  # of alignments and lattices
cmd=run.py
denlats=              # lattices for all models instead of their own
denlat_opts="--beam 11.0 --lattice-beam 6.0 --max-active 1500"
train_opts="--num-threads 1"
smbr_opts=            # further options of steps_py/train_smbr.sh, for example "--batch-utts 4"
decode_opts="--nj 1"  # options of steps_py/decode.sh
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
. "$(dirname "$0")/seeds.sh"
data=$1 lang=$2 graph=$3
shift 3
models=("$@")

need_files "$data/train/feats.scp" "$lang/phones/silence.csl" "$graph/HCLG.fst"
for model in "${models[@]}"; do
  if [ ! -f "$model/final.safetensors" ]; then
    fail "$model/final.safetensors does not exist; train it first"
  fi
  if [ -z "$teacher" ] && grep -q '^KD' "$model/criterion" 2> /dev/null; then
    fail "$model was distilled; give the --teacher whose divergence is to smooth it"
  fi
done

is_distilled() { grep -q '^KD' "$1/criterion" 2> /dev/null; }

# name_of <model> <p> <update>: the trained model's directory, with the seed at its end.
name_of() {
  local seed=
  if [[ $1 =~ (_s[0-9]+)$ ]]; then seed=${BASH_REMATCH[1]}; fi
  local update=_${3//,/+}
  echo "${1%"$seed"}_smbr_p$2${update/_all/}$seed"
}

# one <model> <p> <update>: train and decode; the model's lattices must be there.
one() {
  local dir smoothing
  dir=$(name_of "$1" "$2" "$3")
  if is_distilled "$1"; then smoothing=(--smooth-kd "$2" --teacher "$teacher"); else smoothing=(--smooth-ce "$2"); fi
  if [[ $2 =~ ^0*\.?0*$ ]]; then smoothing=(); fi
  if [ ! -s "$dir/final.safetensors" ] || [ ! -s "$dir/prior_counts" ]; then
    # shellcheck disable=SC2086 # several words
    steps_py/train_smbr.sh --cmd "$cmd" --train-opts "$train_opts" --update "$3" "${smoothing[@]}" $smbr_opts \
      "$data/train" "$lang" "$1" "$1_ali" "${denlats:-$1_denlats}" "$dir" || return 1
  fi
  decode_parts "$graph" "$data" "$dir"
}

# prepare <model>: decode it, align, make its lattices.
prepare() {
  decode_parts "$graph" "$data" "$1" || return 1
  if [ ! -s "$1_ali/final.mdl" ]; then
    steps_py/align.sh --nj "$nj" --cmd "$cmd" "$data/train" "$lang" "$1" "$1_ali" || return 1
  fi
  if [ -z "$denlats" ] && [ ! -s "$1_denlats/lat.scp" ]; then
    # shellcheck disable=SC2086 # several words
    steps_py/make_denlats.sh --nj "$nj" --cmd "$cmd" $denlat_opts "$data/train" "$lang" "$1" "$1_denlats" || return 1
  fi
}

for model in "${models[@]}"; do
  same_decoding "$graph" "$data" "$model"
  seed_network=$(printf '%s\n' "data $data/train" "network $(cksum < "$model/final.safetensors")")
  same_settings "${model}_ali" "$seed_network"
  if [ -z "$denlats" ]; then same_settings "${model}_denlats" "$seed_network"$'\n'"options $denlat_opts"; fi
  next_slot
  prepare "$model" >&2 &
done
wait

dirs=("${models[@]}")
for update in $updates; do
  for model in "${models[@]}"; do
    if [ "$update" != all ]; then
      if is_distilled "$model"; then weights=$subset_kd; else weights=$subset_ce; fi
    elif is_distilled "$model"; then weights=$smooth_kd
    else weights=$smooth_ce; fi
    for p in $weights; do
      dir=$(name_of "$model" "$p" "$update")
      dirs+=("$dir")
      settings=$(printf '%s\n' "data $data/train" "network $(cksum < "$model/final.safetensors")" \
        "lattices ${denlats:-$denlat_opts}" "options $train_opts $smbr_opts")
      if is_distilled "$model"; then settings+=$'\n'"teacher $(soft_labels "$teacher")"; fi
      same_settings "$dir" "$settings"
      same_decoding "$graph" "$data" "$dir"
      next_slot
      one "$model" "$p" "$update" >&2 &
    done
  done
done
wait
show_table "${dirs[@]}"
