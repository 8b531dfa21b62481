#!/usr/bin/env bash
# Word error rates of trained models on one more set of recordings: data, features, speaker transforms (fMLLR), decoding,
# adaptation to its speakers where that is asked for, lattices with the whole language model where the graph has a pruned one,
# and a table. LM weight and penalty are those that dev chose. <recordings> is what a set of one's own corpus may be
# (docs/your-data.md), <data> and <exp> are run.sh's directories of the corpus, models are directories beneath <exp>.
# usage: test_set.sh [options] <recordings> <data> <exp> <name> <model>...
# e.g.:  test_set.sh --nj 2 my_test data/own exp/own test exp/own/hdnn-h128l10_kd_smbr exp/own/hdnn-h128l10_online_smbr

nj=4
cmd=run.py
gmm=tri4a       # of the graph, and of the transforms
adapt=false     # true: models on features of known speakers are adapted to them, too, by their own hypotheses
rescore=true    # with the whole language model, where <data>/lang_whole is there
decode_opts=    # options of steps_py/decode.sh, for example "--beam 11.0 --max-active 2000"; default: decode.conf beside the models
prepare_opts=   # options of local/prepare_set.py, for example "--digits spell"
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
. "$(dirname "$0")/took.sh"
recordings=$1 data=$2 exp=$3 name=$4
shift 4

conf=$data/conf
if [ ! -d "$conf" ]; then conf=conf; fi
case $name in train | dev | eval | */* | '') fail "the set needs a name of its own, not '$name'" ;; esac
graph=$exp/$gmm/graph
need_files "$conf/mfcc.conf" "$graph/HCLG.fst" "$exp/$gmm/final.mdl"
for model in "$@"; do
  need_model "$model"
  f=$model/decode_dev/scoring_kaldi/wer_details/lmwt
  if [ ! -f "$f" ]; then fail "$f does not exist; decode dev first (run.sh --stage 12 --stop-stage 12)"; fi
  f=$(dirname "$model")/decode.conf
  if [ -z "$decode_opts" ] && [ ! -f "$f" ]; then fail "$f does not exist; give the options that dev was decoded with as --decode-opts"; fi
done

# kind <model>: the features that it reads, named as their directories in <data> are.
kind() {
  if [ -f "$1/feat_opts" ]; then sed 's/.*--type=\([a-z]*\).*/\1/' "$1/feat_opts"; else echo fmllr; fi
}

lock_output "$data/ihm/$name"
submit python3 -m local.prepare_set --conf "$conf" --nj "$nj" ${prepare_opts:+$prepare_opts} "$recordings" "$data/ihm/$name"
kinds=$(for model in "$@"; do kind "$model"; done | sort -u)
for type in ${kinds//fmllr/mfcc}; do
  mkdir -p "$data/$type/$name"
  for f in wav.scp segments text utt2spk spk2utt; do
    if [ -f "$data/ihm/$name/$f" ]; then cp "$data/ihm/$name/$f" "$data/$type/$name/"; fi
  done
  submit steps_py/make_feats.sh --type "$type" --feat-config "$conf/$type.conf" --nj "$nj" --cmd "$cmd" "$data/$type/$name"
done
if [[ $kinds == *fmllr* ]]; then
  submit local/fmllr.sh --train "" --sets "$name" --nj "$nj" --cmd "$cmd" \
    "$data/mfcc" "$exp/$gmm" "$exp/${gmm}_ali" "$graph" "$data/fmllr"
fi

# decode <model> <directory of the results> [<option>...]
decode() {
  local features options=$decode_opts
  features=$data/$(kind "$1")/$name
  options=${options:---config $(dirname "$1")/decode.conf}
  begin_part
  # shellcheck disable=SC2086 # several words
  submit steps_py/decode.sh $options --nj "$nj" --cmd "$cmd" --srcdir "$1" "${@:3}" \
    "$graph" "$features" "$2/decode_$name"
  took "$2/decode_$name" "WER $(cut -d ' ' -f 2 "$2/decode_$name/scoring_kaldi/best_wer") % at the best weight"
  if [ "$rescore" = true ] && [ -d "$data/lang_whole" ]; then
    submit steps_py/lmrescore.sh --cmd "$cmd" "$data/lang_tg" "$data/lang_whole" "$features" \
      "$2/decode_$name" "$2/decode_${name}_whole"
  fi
}

results=()
for model in "$@"; do
  decode "$model" "$model"
  results+=("$model")
  if [ "$adapt" = true ] && [ "$(kind "$model")" = fmllr ]; then
    submit steps_py/adapt.sh --nj "$nj" --cmd "$cmd" --lmwt "$(cat "$model/decode_dev/scoring_kaldi/wer_details/lmwt")" \
      "$data/fmllr/$name" "$model" "$model/decode_$name" "${model}_adapt/$name"
    decode "$model" "${model}_adapt" --adapt-dir "${model}_adapt/$name"
    if [ -d "${model}_adapt/decode_dev" ]; then results+=("${model}_adapt"); fi
  fi
done

hdnn wer-table --eval "decode_$name" "${results[@]}"
whole=()
for dir in "${results[@]}"; do if [ -d "$dir/decode_dev_whole" ] && [ -d "$dir/decode_${name}_whole" ]; then whole+=("$dir"); fi; done
if [ ${#whole[@]} -gt 0 ]; then
  printf '\nThe same lattices with the whole language model:\n\n'
  hdnn wer-table --dev decode_dev_whole --eval "decode_${name}_whole" "${whole[@]}"
fi
