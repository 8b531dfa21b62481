#!/usr/bin/env bash
# Cross-entropy against distillation for one student: every hard weight q at T = 1, every temperature T at q = 0, every seed.
# <data-dir> has train_tr90, train_cv10 and the sets to decode. Prints the table: means over the seeds, with 95 % intervals
# from both sources of chance, seeds and test set.
# Models that are finished are not trained again, so that seeds can be added.
# usage: kd_seeds.sh [options] <data-dir> <lang-dir> <ali-dir> <graph-dir> <teacher> <exp-dir>
# e.g.:  kd_seeds.sh data/mini/fmllr data/mini/lang exp/mini/tri4a_ali exp/mini/tri4a/graph exp/mini/soft exp/kd

network=hdnn-h128l10
seeds="777 1 2"
ce=true               # cross-entropy too, or distillation alone
hard_weights="0 0.2 0.5 1"
temperatures="1 2 3"
parts="dev eval"      # sets to decode; the first chooses weight and penalty
jobs=1                # models side by side
cmd=run.py
cmvn_opts=
train_opts="--num-threads 1"
decode_opts="--nj 1"  # options of steps_py/decode.sh
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
. "$(dirname "$0")/seeds.sh"
data=$1 lang=$2 ali=$3 graph=$4 teacher=$5 exp=$6

need_files "$data/train_tr90/feats.scp" "$data/train_cv10/feats.scp" "$ali/ali.1.gz" "$graph/HCLG.fst"

# one <name> <seed> [<q> <T>]: train (by cross-entropy without q and T) and decode.
one() {
  local dir=$exp/$1 seed=$2
  local common=(--cmd "$cmd" --network "$network" --seed "$seed" --cmvn-opts "$cmvn_opts" --train-opts "$train_opts")
  local inputs=("$data/train_tr90" "$data/train_cv10" "$lang" "$ali" "$ali")
  if [ ! -s "$dir/final.safetensors" ]; then
    if [ $# -eq 2 ]; then
      steps_py/train_ce.sh "${common[@]}" "${inputs[@]}" "$dir" || return 1
    else
      steps_py/train_kd.sh "${common[@]}" --hard-weight "$3" --temperature "$4" "${inputs[@]}" "$teacher" "$dir" || return 1
    fi
  fi
  decode_parts "$graph" "$data" "$dir"
}

systems=()
if [ "$ce" = true ]; then systems+=("ce"); fi
for q in $hard_weights; do systems+=("kd_q${q}_t1 $q 1"); done
for t in $temperatures; do
  if [ "$t" != 1 ]; then systems+=("kd_q0_t$t 0 $t"); fi
done
if [ "${#systems[@]}" -eq 0 ]; then fail "nothing to train: give --ce true, --hard-weights or --temperatures"; fi
if [ "${systems[*]}" != ce ]; then # seen here, not after hours of training by cross-entropy
  for part in $teacher; do
    case $part in
      *:*) break ;; # an rspecifier
    esac
    if [ ! -d "$part" ]; then
      fail "the teacher $part is no directory; make it with steps_py/make_soft_labels.sh, or give a model directory"
    fi
  done
fi
lock_output "$exp"
for seed in $seeds; do
  for system in "${systems[@]}"; do
    read -r name weights <<< "$system"
    dir=$exp/${network}_${name}_s$seed
    settings=$(printf '%s\n' "data $data" "alignments $ali" "cmvn $cmvn_opts" "options $train_opts")
    if [ -n "$weights" ]; then settings+=$'\n'"teacher $(soft_labels "$teacher")"; fi
    same_settings "$dir" "$settings"
    same_decoding "$graph" "$data" "$dir"
    next_slot
    # shellcheck disable=SC2086 # several words
    one "${network}_${name}_s$seed" "$seed" ${weights:-} >&2 &
  done
done
wait

dirs=()
for system in "${systems[@]}"; do
  for seed in $seeds; do dirs+=("$exp/${network}_${system%% *}_s$seed"); done
done
show_table "${dirs[@]}"
