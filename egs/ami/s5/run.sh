#!/usr/bin/env bash
# From a corpus to word error rates of small-footprint highway networks.
#
# usage: run.sh [options]
# e.g.:  run.sh --corpus mini                       an embedded synthetic corpus: no Kaldi, no AMI, minutes on two cores
#        run.sh --corpus own --data DIR             your own recordings, see docs/your-data.md
#        run.sh --corpus ami --amicorpus DIR --annotations DIR
#        KALDI_ROOT=... run.sh --toolkit kaldi ...  GMMs up to SAT, fMLLR features and decoders of Kaldi; see docs/kaldi.md
#        KALDI_ROOT=... run.sh --corpus ami --kaldi-s5-dir DIR     on top of a Kaldi AMI recipe that has been run
#
# Every stage can be repeated; --stage N starts at stage N, --stop-stage N ends after it:
#   0 preflight, corpus   1 data directories   2 dictionary, lang, language model   3 features
#   4 GMM and alignment   5 decoding graph, fMLLR features   6 teacher and students by cross-entropy
#   7 sMBR of the teacher (--teacher-smbr true), its soft labels   8 students by distillation
#   9 alignments and denominator lattices   10 sequence training (sMBR)   11 adaptation to the speakers of dev and eval
#   12 decoding   13 table, figures and report
#   14 students for on-line use, exported for Vosk and ONNX (--online-networks; they are trained in stage 8, without teacher in 6)

# Begin configuration.
corpus=mini            # {mini,ami,own}
stage=0                # {0..14} to begin with
stop_stage=14          # {0..14} to end with
toolkit=auto           # {auto,python,kaldi} GMMs, graphs and decoders: python (ours), kaldi (Kaldi's), or auto: kaldi where KALDI_ROOT is set
gmm=tri4a              # {mono,tri4a} alignments come from it: tri4a (speaker-adapted triphones), or mono (the quick way; python only)
gmm_wer=               # GMMs to decode besides tri4a, for the table: all, or names of mono tri1 tri2a tri3a; default: none
kaldi_s5_dir=          # a Kaldi AMI s5 directory that has been run: its data, lang, graph and tri4a are taken as they are
kaldi_lm=              # its language model; default: what its data/local/lm/final_lm says, or the only graph there is
preflight=true         # look for gaps (programs, disk, GPU, queue, corpus) before the first stage
nj=                    # {N} parallel jobs; default: the cores of this machine (mini, own), 16 (ami)
amicorpus=             # ami: directory with <meeting>/audio/<meeting>.Headset-N.wav
annotations=           # ami: the manual annotations, release 1.6.2
fisher=                # ami: a file named text of the Fisher transcripts for the language model; default: AMI's text alone
data=                  # own: train and dev (and eval), or one set of recordings with texts; docs/your-data.md
name=own               # own: name of the directories in data/ and exp/
lm_text=               # own: sentences for the language model besides those of train, one a line
lexicon=               # own: pronunciations, lines "WORD phones"; default: CMUdict, which is English
own_opts=              # own: further options of local/prepare_own.py, for example "--digits spell --rate 8000"
max_graph_mb=100       # {X} own: the language model is pruned until the decoding graph is no larger
max_words=             # {N} own: words of --lm-text that join the vocabulary, the most frequent; default: 1000 for each of these MB
rescore=true           # own: where it was pruned, lattices are scored once more with the whole model (decode_*_whole)
hours_train=0.75       # mini: training speech to synthesise
corpus_seed=1          # {Z} mini: another seed is another corpus, with directories of its own
units=phones           # {phones,bpe} phones (CMUdict) or bpe (sentencepiece; no word is out of vocabulary)
networks="hdnn-h128l10" # students, trained by cross-entropy for comparison
teacher=               # network of the teacher, or several in quotes, which are averaged; default: dnn-h512l4 (own),
                       # "hdnn-h256l10 hdnn-h128l10" (mini: the second is trained anyway), dnn-h2048l6 (ami), dnn-h512l3 (--ssl-model)
ssl_model=             # folder of a speech encoder (wav2vec 2.0, HuBERT, WavLM, Whisper): the teacher reads its features, the students
                       # theirs; models go to a directory of their own; docs/distillation.md
ssl_opts=              # options of these features, for example "--layer 9"; see hdnn feats ssl --help
teacher_smbr=          # {true,false} the teacher goes through sMBR before it gives soft labels; default: true (own without --ssl-model),
                       # false
kd_networks="hdnn-h128l10" # students to distil; empty: none
hard_weights="0"       # q of the distillation, one student for each
temperatures="1"       # T of the distillation, one student for each
smbr=                  # models to go on with by sMBR, for example "hdnn-h128l10 hdnn-h128l10_kd"; all; chain (the distilled students, or
                       # those by CE where none are distilled, and those for devices); none; default: none (mini), chain (own), all (ami)
online_networks=       # students on log-mel features of no known speaker, distilled, decoded and exported for devices; none;
                       # default: "hdnn-h128l10" (mini and own by python), none
smooth=0.2             # p of sMBR: weight of the teacher's divergence for distilled students, of cross-entropy for the others
smbr_learn_rate=       # {X} default: that of sMBR
adapt=chain            # models to adapt to speakers: names as for smbr (with _smbr where that is meant), chain (the distilled
                       # highway students, after sMBR where they had it), none
adapt_labels=hard      # {hard,soft} hard: hypotheses of a first pass (CE); soft: the teacher (KD)
adapt_update=gates     # groups that move, or all
train_jobs=            # {N} networks trained at a time; default: 2 (mini, own), 1 (ami)
feat_type=             # {fmllr,fbank,mfcc} features of the networks: of tri4a, or 40 log-mel energies, or cepstra; default: fmllr
                       # (tri4a), fbank (mono)
cmvn_opts=auto         # normalisation of these; auto: means and variances of a speaker, none for fmllr
augment=               # {none,speed,noise,reverb} networks also learn from copies of train: speed (0.9 and 1.1 times, aligned anew), noise,
                       # reverb (simulated rooms; both with the alignments of their originals); docs/augmentation.md;
                       # default: speed (own), none (mini, ami)
train_opts=            # further options of trainings by cross-entropy and distillation, such as "--freq-masks 2 --time-masks 2"
seed=                  # {Z} of trainings and adaptations; default: theirs
device=                # of trainings; default: a GPU if there is one
num_procs=             # {N} training processes (torchrun); default: one
max_iters=             # {N} epochs of trainings by cross-entropy and distillation at most; default: theirs
acwt=0.1               # acoustic scale of the search (scoring tries many); a larger one is faster and prunes more, see RESULTS
beam=                  # {X} of decoding; default: 13.0 (ami, own), 11.0 (mini, for speed)
lattice_beam=          # {X} default: 8.0 (ami), 6.0 (mini, own)
max_active=            # {N} default: 7000 (ami), 3000 (own), 2000 (mini)
decoder=auto           # {auto,kaldi,k2,numpy} auto: kaldi where it is on PATH, else k2 where it is installed, else numpy
# End configuration.

. "$(dirname "${BASH_SOURCE[0]}")/steps_py/step.sh" || exit 1
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
. ./cmd.sh
. local/recipe.sh
if [ "$stage" -gt "$stop_stage" ]; then fail "--stage $stage is after --stop-stage $stop_stage: nothing to do"; fi

# What an option names relative to where run.sh was called.
absolute() { if [ -n "$1" ] && [[ $1 != /* ]] && [ -e "$called_from/$1" ]; then echo "$called_from/$1"; else echo "$1"; fi; }
ssl_model=$(absolute "$ssl_model")
data=$(absolute "$data") lm_text=$(absolute "$lm_text") lexicon=$(absolute "$lexicon")

if [ "$corpus" = own ]; then
  if [[ ! $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]]; then fail "--name '$name': a name of directories has letters, digits and . _ - only"; fi
  if [[ $name =~ ^(mini|ami)(_|$) ]]; then fail "--name $name: these directories are another corpus's; give another name"; fi
  if [ "$stage" -le 2 ]; then need_files ${lm_text:+"$lm_text"} ${lexicon:+"$lexicon"}; fi
fi

if [ -n "$ssl_model" ]; then
  if [ -z "$kd_networks" ]; then fail "--ssl-model is for the teacher, and --kd-networks names no student"; fi
  if [ -n "$kaldi_s5_dir" ]; then fail "--ssl-model needs the recordings, which --kaldi-s5-dir does not bring"; fi
  teacher=${teacher:-dnn-h512l3}
fi

default_augment=none
case $corpus in
  mini)
    nj=${nj:-$(env -u OMP_NUM_THREADS nproc)}; lm_prune=0; lm=lm
    teacher=${teacher:-hdnn-h256l10 hdnn-h128l10}; train_jobs=${train_jobs:-2}
    note="Synthetic speech: these figures say that the recipe works, and nothing about AMI."
    beam=${beam:-11.0}; lattice_beam=${lattice_beam:-6.0}; max_active=${max_active:-2000}; den_max_active=1500
    ;;
  ami)
    note=
    nj=${nj:-16}; lm_prune=1e-7; lm=lm_pruned
    teacher=${teacher:-dnn-h2048l6}; train_jobs=${train_jobs:-1}
    beam=${beam:-13.0}; lattice_beam=${lattice_beam:-8.0}; max_active=${max_active:-7000}; den_max_active=5000
    smbr=${smbr:-all}
    ;;
  own)
    if [ -z "$data" ] && [ "$stage" -le 1 ]; then fail "--corpus own needs --data, the directory of your recordings; see docs/your-data.md"; fi
    note="Trained on $data."
    default_augment=speed # hours of speech are what there is least of; RESULTS, libri5
    nj=${nj:-$(env -u OMP_NUM_THREADS nproc)}; lm_prune=0; lm=lm
    smbr=${smbr:-chain}
    teacher=${teacher:-dnn-h512l4}; train_jobs=${train_jobs:-2}
    beam=${beam:-13.0}; lattice_beam=${lattice_beam:-6.0}; max_active=${max_active:-3000}; den_max_active=1500
    ;;
esac
if [ "$smbr" = none ]; then smbr=; fi
augment=${augment:-$default_augment}
default_teacher_smbr=false
if [ "$corpus" = own ] && [ -z "$ssl_model" ]; then default_teacher_smbr=true; fi # RESULTS, libri5 and so762
teacher_smbr=${teacher_smbr:-$default_teacher_smbr}
case $teacher_smbr in true | false) ;; *) fail "--teacher-smbr $teacher_smbr: expected true or false" ;; esac

if [ "$toolkit" = auto ]; then toolkit=python; if [ -n "${KALDI_ROOT:-}" ]; then toolkit=kaldi; fi; fi
case $gmm in
  tri4a) default_type=fmllr ;;
  mono) default_type=fbank ;;
esac
feat_type=${feat_type:-$default_type}
if [ "$feat_type" = fmllr ] && [ "$gmm" = mono ]; then echo "$0: --feat-type fmllr needs --gmm tri4a" >&2; exit 1; fi
tag=$corpus
if [ "$corpus" = own ]; then tag=$name; fi # of the directories: what toolkits, GMMs and corpora make never mixes
if [ "$corpus_seed" != 1 ]; then tag=${tag}_c$corpus_seed; fi
case $toolkit in
  python)
    gmm_steps=steps_py
    if [ "$gmm" = mono ]; then tag=${tag}_mono; fi
    ;;
  kaldi)
    ln -sfn "${KALDI_ROOT:?--toolkit kaldi needs KALDI_ROOT}/egs/wsj/s5/steps" steps
    ln -sfn "$KALDI_ROOT/egs/wsj/s5/utils" utils
    gmm_steps=steps; tag=${tag}_kaldi
    if [ "$gmm" = mono ]; then echo "$0: --gmm mono needs --toolkit python" >&2; exit 1; fi
    ;;
esac
if [ "$gmm_wer" = all ]; then gmm_wer="mono tri1 tri2a tri3a"; fi
if [ "$corpus" != ami ] && [ $toolkit = python ]; then online_networks=${online_networks:-hdnn-h128l10}; fi
if [ "$online_networks" = none ]; then online_networks=; fi
if [ -n "$online_networks" ] && [ $toolkit = kaldi ]; then
  echo "$0: --online-networks needs --toolkit python: an export does not know the options of Kaldi's features" >&2
  exit 1
fi
if [ -n "$kaldi_s5_dir" ]; then
  if [ "$augment" != none ]; then echo "$0: --augment needs features of its own; --kaldi-s5-dir takes those that are there" >&2; exit 1; fi
  if [ $toolkit != kaldi ]; then echo "$0: --kaldi-s5-dir needs --toolkit kaldi and KALDI_ROOT" >&2; exit 1; fi
  if [ "$feat_type" = fbank ]; then echo "$0: --kaldi-s5-dir has no fbank features; take --feat-type fmllr or mfcc" >&2; exit 1; fi
  tag=${corpus}_s5
fi
if [ "$cmvn_opts" = auto ]; then
  cmvn_opts="--norm-means=true --norm-vars=true"
  if [ "$feat_type" = fmllr ]; then cmvn_opts=; fi
fi
# Kaldi's names for the language model: ami.o3g.kn, or ami_fsh.o3g.kn with Fisher, and how it was pruned.
lm_name=$corpus${fisher:+_fsh}.o3g.kn
if [ "$lm_prune" = 1e-7 ]; then lm_name=$lm_name.pr1-7; fi

mini=corpus/mini
if [ "$corpus_seed" != 1 ]; then mini=${mini}_c$corpus_seed; fi
recordings=$data
data=data/$tag            # data/mini/ihm/train ...
exp=exp/$tag
netdata=$data/$feat_type   # the data directories with the networks' features
onlinedata=$data/fbank    # of the students for devices
ssldata=$data/ssl         # of the teacher, with --ssl-model
nets=$exp                 # the networks; those on other features or copies than the default have a directory of their own
if [ "$feat_type" != "$default_type" ]; then nets=${exp}_$feat_type; fi
train=train               # what networks are trained on; with --augment, its copies too
if [ "$augment" != none ]; then train=train_$augment; fi
online_train=$train       # of the students for devices: other speeds did them harm (docs/experiments/own-recordings.md)
if [ "$augment" = speed ]; then online_train=train; fi
if [ "$augment" != "$default_augment" ]; then nets=${nets}_$augment; fi
if [ -n "$ssl_model" ]; then nets=${nets}_ssl; fi
lang=$data/lang
lang_test=$data/lang_tg
graph=$exp/$gmm/graph
if [ $toolkit = kaldi ]; then lang_test=${lang}_$lm_name; graph=${graph}_$lm_name; fi
if [ -n "$kaldi_s5_dir" ]; then graph=$exp/$gmm/graph; fi # a link
ali=$exp/${gmm}_ali
copies_ali=$ali           # of $train; copies that are as long as their originals have the originals' alignments
if [ "$augment" != none ]; then copies_ali=${ali}_$augment; fi
net_ali=$ali soft_data=train
if [ "$augment" = speed ]; then net_ali=$copies_ali soft_data=$train; fi
parts="dev eval"          # what is decoded
results_opts=()
whole= # lang directory of the whole language model, where the graph has a pruned one
whole_opts=(--eval decode_eval_whole)
feat_conf=conf
gmm_conf=conf/gmm_$corpus.conf
cv_opts=()
if [ "$corpus" = own ]; then cv_opts=(--one-speaker true); fi

# What would be wrong hours later. kd_name <network> <q> <T>: what a distilled student's directory is called: <network>_kd, with
# _smbrteacher or _ceteacher where --teacher-smbr is not the corpus's default, and with _q<q> and _t<T> where these are not 0 and 1.
kd_name() {
  local name=$1_kd
  case $teacher_smbr in
    "$default_teacher_smbr") ;;
    true) name=${name}_smbrteacher ;;
    false) name=${name}_ceteacher ;;
  esac
  if [ "$2" != 0 ]; then name=${name}_q$2; fi
  if [ "$3" != 1 ]; then name=${name}_t$3; fi
  echo "$name"
}
teachers=$teacher         # the models
if [ -n "$ssl_model" ]; then
  # shellcheck disable=SC2086 # several words
  check_options feats ssl "--model=$ssl_model" $ssl_opts data prefix
  teachers=
  for network in $teacher; do teachers="$teachers ${network}_ssl"; done
  teachers=${teachers# }
fi
for network in $teacher $networks $kd_networks $online_networks; do
  # shellcheck disable=SC2086 # several words
  check_options train ce "--network=$network" ${device:+"--device=$device"} "--cmvn-opts=$cmvn_opts" $train_opts data cv ali ali dir
done
known=" $networks " students=
if [ -n "$kd_networks" ]; then known="$known$teachers "; fi
for network in $kd_networks; do
  for q in $hard_weights; do
    for t in $temperatures; do
      check_options train kd "--hard-weight=$q" "--temperature=$t" data cv ali ali soft dir
      students="$students $(kd_name "$network" "$q" "$t")"
    done
  done
done
online_students=
for network in $online_networks; do online_students="$online_students ${network}_online"; done
known="$known${students# }$online_students "
if [ "$smbr" = chain ]; then smbr="${students:-$networks}$online_students"; fi
if [ "$teacher_smbr" = true ]; then for model in $teachers; do known="$known${model}_smbr "; done; fi
# need_known <option> <models>: end unless all will be there.
need_known() {
  local model
  for model in $2; do
    if [ -f "$nets/$model/model.json" ]; then continue; fi # of an earlier run
    case "$known" in *" $model "*) ;; *) fail "$1 $model: there will be no such model, but ${known# }" ;; esac
  done
}
continued=$smbr
if [ "$smbr" = all ]; then continued=$known; else need_known --smbr "$smbr"; fi
for model in $continued; do known="$known${model}_smbr "; done
case $adapt in
  chain | none) ;;
  *_online*) fail "--adapt $adapt: a student for devices (_online) knows no speaker to adapt to" ;;
  *) need_known --adapt "$adapt" ;;
esac
for system in $gmm_wer; do
  case $system in mono | tri1 | tri2a | tri3a) ;; *) fail "--gmm-wer $system: expected mono, tri1, tri2a, tri3a or all" ;; esac
done
check_options train smbr "--smooth-ce=$smooth" ${smbr_learn_rate:+"--learn-rate=$smbr_learn_rate"} data ali lang dir ali denlats
check_options adapt "--update=$adapt_update" data model labels dir
check_options latgen "--acoustic-scale=$acwt" "--beam=$beam" "--lattice-beam=$lattice_beam" "--max-active=$max_active" \
  model graph ark:- ark:-
recipe_dirs=("$data" "$exp" "$nets" "$mini")
taught=
if [ "$teacher_smbr" = true ]; then taught=", after sMBR"; fi
plan "$nets" \
  "stages $stage to $stop_stage of corpus $corpus by $toolkit: $gmm alignments, $feat_type features, $nj jobs, $train_jobs trainings at a time" \
  "teacher $teachers$taught; students by CE: ${networks:-none}, by KD: ${kd_networks:-none}; sMBR: ${smbr:-none}; adaptation: $adapt; copies: $augment" \
  "results go to $PWD/$nets"

if run_stage 0 "preflight, corpus"; then
  if [ "$preflight" = true ]; then
    submit python3 -m local.preflight --corpus "$corpus" --toolkit "$toolkit" --amicorpus "$amicorpus" \
      --annotations "$annotations" --recordings "$recordings" --ssl-model "$ssl_model" --kaldi-s5-dir "$kaldi_s5_dir" ${device:+--device "$device"} \
      --cmd "$train_cmd" --cmd "$decode_cmd" --cmd "$cuda_cmd"
  fi
  if [ -n "$kaldi_s5_dir" ] || [ "$corpus" = own ]; then
    :
  elif [ "$corpus" = mini ]; then
    submit local/make_mini_corpus.sh --hours-train "$hours_train" --seed "$corpus_seed" --nj "$nj" "$mini"
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
  amicorpus=$mini
  annotations=$mini/ami_public_manual_1.6.2
fi

if [ -n "$kaldi_s5_dir" ]; then
  if run_stage 1 "directories of $kaldi_s5_dir"; then
    submit local/link_kaldi_s5.sh --lm "$kaldi_lm" "$kaldi_s5_dir" "$data" "$exp"
  fi
else
  if run_stage 1 "data directories"; then
    if [ "$corpus" = own ]; then
      # shellcheck disable=SC2086 # several words
      submit python3 -m local.prepare_own --nj "$nj" $own_opts "$recordings" "$data"
    else
      submit local/prepare_ami.sh --nj "$nj" "$amicorpus" "$annotations" "$data"
    fi
  fi
  if [ "$corpus" = own ]; then
    gmm_conf=$data/conf/gmm.conf feat_conf=$data/conf
    if [ ! -d "$data/ihm/eval" ]; then parts=dev results_opts=(--eval "") whole_opts=(--eval ""); fi
  fi

  if run_stage 2 "dictionary, lang, language model"; then
    if [ "$corpus" = own ]; then
      spelling=() # numbers of the text as those of the transcripts
      if [[ " $own_opts " =~ \ --digits[=\ ]spell\  ]]; then spelling=(--digits spell); fi
      if [[ " $own_opts " =~ \ --language[=\ ]([^\ ]+)\  ]]; then spelling+=(--language "${BASH_REMATCH[1]}"); fi
      submit local/own_lang.sh ${spelling[@]+"${spelling[@]}"} --units "$units" --lexicon "$lexicon" --lm-text "$lm_text" --max-graph-mb "$max_graph_mb" \
        ${max_words:+--max-words "$max_words"} "$data" "$lang" "$lang_test"
    else
      submit hdnn lang dict --units "$units" "$data/ihm/train/text" "$data/dict"
      submit hdnn lang prepare "$data/dict" '<unk>' "$lang"
      submit hdnn lang train-lm --prune "$lm_prune" --vocab "$data/dict/lexicon.txt" --test "$data/ihm/eval/text" \
        "$data/ihm/dev/text" "$data/lm" "$data/ihm/train/text" ${fisher:+"$fisher"}
      submit hdnn lang format-lm "$lang" "$data/lm/$lm.arpa.gz" "$lang_test"
    fi
    figure "$(sed -n "s/^$lm.arpa.gz: dev: \([^(]*\) .*/dev \1/p" "$data/lm/perplexity.txt")"
  fi

  if [ "$corpus" = own ] && [ "$rescore" = true ] && [ -d "${lang}_whole" ]; then whole=${lang}_whole; fi

  # copy_tables <dir>: all but features of the set that the directory is named after.
  copy_tables() {
    local f
    mkdir -p "$1"
    for f in wav.scp segments text utt2spk spk2utt utt2uniq reco2file_and_channel stm glm; do
      if [ -f "$data/ihm/${1##*/}/$f" ]; then cp "$data/ihm/${1##*/}/$f" "$1/"; fi
    done
  }

  if run_stage 3 "features"; then
    case $augment in
      none) copies= ;;
      speed) copies="--speeds 0.9,1.1" ;;
      *) copies="--$augment-copies 1" ;;
    esac
    # shellcheck disable=SC2086 # several words
    if [ -n "$copies" ]; then submit hdnn data augment $copies --nj "$nj" "$data/ihm/train" "$data/ihm/$train"; fi
    for part in $(printf '%s\n' train "$train" | uniq) $parts; do
      if [ $toolkit = kaldi ]; then
        submit local/kaldi_mfcc.sh --mfcc-config "$feat_conf/mfcc.conf" --nj "$nj" --cmd "$train_cmd" "$data/ihm/$part" "$data/mfcc/$part"
      fi
      for type in $(printf '%s\n' mfcc "$feat_type" ${online_networks:+fbank} | sort -u); do
        if [ "$type" = fmllr ] || { [ $toolkit = kaldi ] && [ "$type" = mfcc ]; }; then continue; fi
        if [ "$part" = "$train" ] && [ "$train" != "$online_train" ] && [[ $type != mfcc && $type != "$feat_type" ]]; then continue; fi
        copy_tables "$data/$type/$part"
        submit steps_py/make_feats.sh --type "$type" --feat-config "$feat_conf/$type.conf" --nj "$nj" --cmd "$train_cmd" "$data/$type/$part"
      done
    done
    if [ -n "$ssl_model" ]; then
      for part in "$soft_data" $parts; do
        copy_tables "$ssldata/$part"
        # shellcheck disable=SC2086 # several words
        submit steps_py/make_ssl_feats.sh --nj "$nj" --cmd "$train_cmd" --model "$ssl_model" $ssl_opts \
          --like "$data/mfcc/$part" "$ssldata/$part"
      done
    fi
    figure "$(awk '{n += $2} END {print n}' "$data/mfcc/train/utt2num_frames" 2> /dev/null) frames to train on"
  fi

  if run_stage 4 "GMM and alignment"; then
    if [ "$gmm" = tri4a ]; then
      submit local/gmm.sh --steps "$gmm_steps" --config "$gmm_conf" --nj "$nj" --cmd "$train_cmd" \
        "$data/mfcc/train" "$lang" "$exp"
    else
      submit steps_py/train_mono.sh --nj "$nj" --cmd "$train_cmd" "$data/mfcc/train" "$lang" "$exp/mono"
      submit steps_py/align_si.sh --nj "$nj" --cmd "$train_cmd" "$data/mfcc/train" "$lang" "$exp/mono" "$exp/mono_ali"
    fi
    if [ "$augment" = speed ]; then
      align=align_fmllr
      if [ "$gmm" = mono ]; then align=align_si; fi
      submit "$gmm_steps/$align.sh" --nj "$nj" --cmd "$train_cmd" "$data/mfcc/$train" "$lang" "$exp/$gmm" "$copies_ali"
    elif [ "$augment" != none ] && [ "$feat_type" = fmllr ]; then
      # For the transforms of the copies' speakers. Kaldi's step would align anew what noise and echo have made unalignable.
      submit steps_py/align_fmllr.sh --originals-ali "$ali" --nj "$nj" --cmd "$train_cmd" \
        "$data/mfcc/$train" "$lang" "$exp/$gmm" "$copies_ali"
    fi
    figure "$(cat "$exp/$gmm/log/"train*.log 2> /dev/null | grep -o 'log-likelihood -\{0,1\}[0-9.]* a frame' | tail -n 1 || true)"
  fi
fi

if run_stage 5 "decoding graph, features of the networks"; then
  if [ -z "$kaldi_s5_dir" ]; then
    use_kaldi=false
    if [ $toolkit = kaldi ]; then use_kaldi=true; fi
    submit steps_py/mkgraph.sh --cmd "$decode_cmd" --use-kaldi $use_kaldi "$lang_test" "$exp/$gmm" "$graph"
  fi
  if [ "$feat_type" = fmllr ]; then
    submit local/fmllr.sh --steps "$gmm_steps" --sets "$parts" --nj "$nj" --cmd "$train_cmd" --decode-cmd "$decode_cmd" \
      "$data/mfcc" "$exp/$gmm" "$ali" "$graph" "$netdata"
    if [ "$augment" != none ]; then
      submit local/fmllr.sh --steps "$gmm_steps" --train "$train" --sets "" --nj "$nj" --cmd "$train_cmd" \
        "$data/mfcc" "$exp/$gmm" "$copies_ali" "$graph" "$netdata"
    fi
  fi
  if [ -n "$gmm_wer" ]; then
    # shellcheck disable=SC2086 # several words
    submit local/gmm_wer.sh --steps "$gmm_steps" --sets "$parts" --nj "$nj" --cmd "$decode_cmd" --config conf/decode_gmm.conf \
      --graph-name "${graph##*/}" "$lang_test" "$data/mfcc" "$exp" $gmm_wer
  fi
  for dir in $(printf '%s\n' "$netdata/$train" ${online_networks:+"$onlinedata/$online_train"} ${ssl_model:+"$ssldata/$soft_data"} | sort -u); do
    hdnn data split-tr-cv ${cv_opts[@]+"${cv_opts[@]}"} "$dir" "${dir}_tr90" "${dir}_cv10"
  done
  figure "graph of $(du -Lk "$graph/HCLG.fst" | cut -f 1) kB"
fi

# Networks trained side by side on one machine share its cores.
threads=0
if [ "$train_jobs" -gt 1 ]; then threads=1; fi
common_options=(--cmd "$cuda_cmd" ${seed:+--seed "$seed"} ${device:+--device "$device"} ${num_procs:+--num-procs "$num_procs"})
train_options=("${common_options[@]}" --train-opts "--num-threads $threads${train_opts:+ $train_opts}" --cmvn-opts "$cmvn_opts"
  ${max_iters:+--max-iters "$max_iters"})
train_dirs=("$netdata/${train}_tr90" "$netdata/${train}_cv10" "$lang" "$net_ali" "$net_ali")

# A device knows no speaker: these students read plain log-mel features, whatever the teacher of their soft labels reads.
# train_online <step> [<soft labels>]
train_online() {
  local network
  for network in $online_networks; do
    in_background "steps_py/$1" "${train_options[@]}" --cmvn-opts "" --network "$network" \
      "$onlinedata/${online_train}_tr90" "$onlinedata/${online_train}_cv10" "${train_dirs[@]:2}" "${@:2}" "$nets/${network}_online"
  done
}

ce_networks=$networks
if [ -n "$kd_networks" ] && [ -z "$ssl_model" ]; then
  ce_networks=$teacher
  for network in $networks; do
    case " $teacher " in *" $network "*) ;; *) ce_networks="$ce_networks $network" ;; esac
  done
fi
if run_stage 6 "teacher and students by cross-entropy"; then
  for network in $ce_networks; do
    in_background steps_py/train_ce.sh "${train_options[@]}" --network "$network" "${train_dirs[@]}" "$nets/$network"
  done
  if [ -n "$ssl_model" ]; then
    for network in $teacher; do # two rows to each side are as many frames as the students see
      in_background steps_py/train_ce.sh "${train_options[@]}" --cmvn-opts "" --splice 2 --network "$network" \
        "$ssldata/${soft_data}_tr90" "$ssldata/${soft_data}_cv10" "${train_dirs[@]:2}" "$nets/${network}_ssl"
    done
  fi
  if [ -z "$kd_networks" ]; then train_online train_ce.sh; fi
  wait_jobs
  for network in $ce_networks ${ssl_model:+$teachers}; do trained "$nets/$network"; done
fi

# Data directories of a network's features.
data_of() {
  case $1 in *_online*) echo "$onlinedata" ;; *_ssl*) echo "$ssldata" ;; *) echo "$netdata" ;; esac
}

# Alignment and denominator lattices of a network, for its sequence training.
prepare_smbr() {
  local originals
  originals=$(data_of "$1")/train
  submit steps_py/align.sh --nj "$nj" --cmd "$train_cmd" "$originals" "$lang" "$nets/$1" "$nets/${1}_ali"
  submit steps_py/make_denlats.sh --nj "$nj" --cmd "$decode_cmd" --decoder "$decoder" --max-active "$den_max_active" \
    "$originals" "$lang" "$nets/$1" "$nets/${1}_denlats"
}

# Sequence training of a network, smoothed by the teacher where it was distilled.
train_smbr() {
  local smoothing=(--smooth-ce "$smooth") distilled=false
  case $1 in
    *_kd*) distilled=true ;;
    *_online) if [ -n "$kd_networks" ]; then distilled=true; fi ;;
  esac
  if [ $distilled = true ]; then smoothing=(--smooth-kd "$smooth" --teacher "$soft"); fi
  if [[ $smooth =~ ^0*\.?0*$ ]]; then smoothing=(); fi # no teacher is read where none is asked
  steps_py/train_smbr.sh "${common_options[@]}" --train-opts "--num-threads $threads" ${smbr_learn_rate:+--learn-rate "$smbr_learn_rate"} \
    ${smoothing[@]+"${smoothing[@]}"} \
    "$(data_of "$1")/train" "$lang" "$nets/$1" "$nets/${1}_ali" "$nets/${1}_denlats" "$nets/${1}_smbr"
}

teacher_dirs=
for model in $teachers; do
  if [ "$teacher_smbr" = true ]; then model=${model}_smbr; fi
  teacher_dirs="$teacher_dirs $nets/$model"
done
teacher_dirs=${teacher_dirs# }
soft=${teacher_dirs//"$nets/"/}
soft=$nets/soft_${soft// /+}
teacherdata=$netdata
if [ -n "$ssl_model" ]; then teacherdata=$ssldata; fi
if run_stage 7 "soft labels of the teacher" "$kd_networks" "no --kd-networks"; then
  if [ "$teacher_smbr" = true ]; then
    for model in $teachers; do prepare_smbr "$model"; done
    for model in $teachers; do in_background train_smbr "$model"; done
    wait_jobs
    for model in $teachers; do trained "$nets/${model}_smbr"; done
  fi
  highest=$(printf '%s\n' $temperatures | sort -g | tail -n 1)
  submit steps_py/make_soft_labels.sh --nj "$nj" --cmd "$train_cmd" --temperature "$highest" \
    "$teacherdata/$soft_data" "$teacher_dirs" "$soft"
  figure "$(du -sLk "$soft" | cut -f 1) kB of soft labels"
fi

kd_dirs=()
for network in $kd_networks; do
  for q in $hard_weights; do
    for t in $temperatures; do
      name=$(kd_name "$network" "$q" "$t")
      kd_dirs+=("$nets/$name")
      if [ "$stage" -le 8 ] && [ "$stop_stage" -ge 8 ]; then
        if [ ${#kd_dirs[@]} -eq 1 ]; then run_stage 8 "students by distillation"; fi
        in_background steps_py/train_kd.sh "${train_options[@]}" --network "$network" --hard-weight "$q" --temperature "$t" \
          "${train_dirs[@]}" "$soft" "$nets/$name"
      fi
    done
  done
done
if [ -n "$kd_networks" ] && [ "$stage" -le 8 ] && [ "$stop_stage" -ge 8 ]; then train_online train_kd.sh "$soft"; fi
wait_jobs
if [[ $stage_name == "8 "* ]]; then trained "${kd_dirs[@]}"; fi

model_dirs=()
for network in ${ssl_model:+$teachers} $ce_networks; do model_dirs+=("$nets/$network"); done
model_dirs+=("${kd_dirs[@]}")
if [ "$smbr" = all ]; then
  smbr=
  for dir in "${model_dirs[@]}"; do smbr="$smbr $(basename "$dir")"; done
  smbr=$smbr$online_students
fi

smbr_dirs=()
if [ "$teacher_smbr" = true ] && [ -n "$kd_networks" ]; then # stage 7 has trained these
  others=
  for model in $teachers; do smbr_dirs+=("$nets/${model}_smbr"); done
  for name in $smbr; do
    case " $teachers " in *" $name "*) ;; *) others="$others $name" ;; esac
  done
  smbr=$others
fi

if run_stage 9 "alignments and denominator lattices" "$smbr" "no --smbr"; then
  for name in $smbr; do prepare_smbr "$name"; done
fi

online_dirs=() exported=()
for name in $online_students; do
  online_dirs+=("$nets/$name")
  case " $smbr " in
    *" $name "*)
      name=${name}_smbr
      online_dirs+=("$nets/$name")
      ;;
  esac
  exported+=("$nets/$name")
done
for name in $smbr; do
  case $name in *_online) ;; *) smbr_dirs+=("$nets/${name}_smbr") ;; esac
done
if run_stage 10 "sequence training (sMBR)" "$smbr" "no --smbr"; then
  for name in $smbr; do in_background train_smbr "$name"; done
  wait_jobs
  for name in $smbr; do trained "$nets/${name}_smbr"; done
fi
model_dirs+=(${smbr_dirs[@]+"${smbr_dirs[@]}"})

if [ "$adapt" = none ]; then adapt=; fi
if [ "$adapt" = chain ]; then
  adapt=
  for dir in "${kd_dirs[@]}"; do
    name=$(basename "$dir")
    case " $smbr " in *" $name "*) name=${name}_smbr ;; esac
    case $name in hdnn-*) adapt="$adapt $name" ;; esac # plain networks have no gates
  done
fi

scoring_opts="--min-lmwt 4 --max-lmwt 15"
if [ $toolkit = kaldi ] && [ -f "$netdata/dev/stm" ] && [ -f "$netdata/dev/glm" ] &&
  { command -v hubscr.pl || command -v sctk; } > /dev/null; then
  scoring_opts="$scoring_opts --sclite true"
fi

if [ "$stage" -le 12 ] && [ "$stop_stage" -ge 11 ]; then # local/test_set.sh decodes further sets in the same way
  mkdir -p "$nets"
  put "$nets/decode.conf" "acwt=$acwt
beam=$beam
lattice_beam=$lattice_beam
max_active=$max_active
scoring_opts='$scoring_opts'"
fi

# decode <part> <model-dir> <directory of the results> <data> [options]
decode() {
  local part=$1 src=$2 results=$3 data=$4
  shift 4
  submit steps_py/decode.sh --config "$nets/decode.conf" --nj "$nj" --cmd "$decode_cmd" --decoder "$decoder" --srcdir "$src" "$@" \
    "$graph" "$data/$part" "$results/decode_$part"
}

decoded=" " # what the first pass of adaptation has decoded already
adapt_dirs=()
for name in $adapt; do adapt_dirs+=("$nets/${name}_adapt"); done
if run_stage 11 "adaptation to the speakers of dev and eval" "$adapt" "no --adapt"; then
  for name in $adapt; do
    for part in $parts; do
      labels=$teacher_dirs
      lmwt=10
      if [ "$adapt_labels" = soft ] && [ -n "$ssl_model" ]; then # of features of its own
        labels=${soft}_$part
        submit steps_py/make_soft_labels.sh --nj "$nj" --cmd "$train_cmd" "$ssldata/$part" "$teacher_dirs" "$labels"
      fi
      if [ "$adapt_labels" = hard ]; then
        decode "$part" "$nets/$name" "$nets/$name" "$netdata"
        decoded="$decoded$name "
        labels=$nets/$name/decode_$part
        lmwt=$(cat "$nets/$name/decode_dev/scoring_kaldi/wer_details/lmwt")
      fi
      submit steps_py/adapt.sh --nj "$nj" --cmd "$train_cmd" --labels "$adapt_labels" --update "$adapt_update" --lmwt "$lmwt" \
        ${seed:+--seed "$seed"} "$netdata/$part" "$nets/$name" "$labels" "$nets/${name}_adapt/$part"
    done
    criterion=CE
    if [ "$adapt_labels" = soft ]; then criterion=KD; fi
    # For the tables and sclite's step, which read directories of models.
    cp "$nets/$name/model.json" "$nets/$name/final.mdl" "$nets/${name}_adapt/"
    echo "$(cat "$nets/$name/criterion") + adapted ($criterion, $adapt_update)" > "$nets/${name}_adapt/criterion"
  done
fi

if run_stage 12 "decoding"; then
  for dir in "${model_dirs[@]}"; do
    case $decoded in *" $(basename "$dir") "*) continue ;; esac
    for part in $parts; do decode "$part" "$dir" "$dir" "$(data_of "${dir##*/}")"; done
  done
  for dir in ${online_dirs[@]+"${online_dirs[@]}"}; do
    for part in $parts; do decode "$part" "$dir" "$dir" "$onlinedata"; done
  done
  for name in $adapt; do
    for part in $parts; do
      decode "$part" "$nets/$name" "$nets/${name}_adapt" "$netdata" --adapt-dir "$nets/${name}_adapt/$part"
    done
  done
fi
model_dirs+=(${adapt_dirs[@]+"${adapt_dirs[@]}"} ${online_dirs[@]+"${online_dirs[@]}"})
if [[ $stage_name == "12 "* ]] && [ -n "$whole" ]; then
  for dir in "${model_dirs[@]}"; do
    for part in $parts; do
      submit steps_py/lmrescore.sh --cmd "$decode_cmd" --scoring-opts "$scoring_opts" \
        "$lang_test" "$whole" "$netdata/$part" "$dir/decode_$part" "$dir/decode_${part}_whole"
    done
  done
fi
if [[ $stage_name == "12 "* ]]; then scored "${model_dirs[@]}"; fi

if run_stage 13 "table, figures and report"; then
  hdnn plot training "$nets/training.png" "${model_dirs[@]}"
  hdnn plot wer ${results_opts[@]+"${results_opts[@]}"} --title "$tag" "$nets/wer.png" "${model_dirs[@]}"
  audio=
  if [ -f "$netdata/eval/wav.scp" ]; then audio=$netdata/eval; fi
  submit hdnn report ${results_opts[@]+"${results_opts[@]}"} --title "$tag" --note "$note" --audio "$audio" "$nets/report.html" \
    "${model_dirs[@]}"
  hdnn wer-table ${results_opts[@]+"${results_opts[@]}"} "${model_dirs[@]}" | tee "$nets/wer.md"
  if [ -n "$whole" ] && [ -d "${model_dirs[0]}/decode_dev_whole" ]; then
    printf '\nThe same lattices with the whole language model:\n\n' | tee -a "$nets/wer.md"
    hdnn wer-table --dev decode_dev_whole "${whole_opts[@]}" "${model_dirs[@]}" | tee -a "$nets/wer.md"
  fi
  for system in $gmm_wer "$gmm"; do # of their own decodings, for comparison
    if [ -d "$exp/$system/decode_dev/scoring_kaldi" ]; then
      best=(--dev "$exp/$system/decode_dev")
      if [ "$parts" != dev ]; then best+=(--eval "$exp/$system/decode_eval"); fi
      hdnn best-wer "${best[@]}" | tee -a "$nets/wer.md"
    fi
  done
fi

if run_stage 14 "students for on-line use, exported" "$online_networks" "no --online-networks"; then
  for dir in "${exported[@]}"; do
    card=(--trained-on "$data/ihm/train ($tag)" --check-data "$onlinedata/dev" --check-utterances 20)
    submit steps_py/export_nnet3.sh --cmd "$train_cmd" --beam "$beam" --max-active "$max_active" "${card[@]}" \
      "$dir" "$graph" "$dir/export"
    submit steps_py/export_onnx.sh --cmd "$train_cmd" "${card[@]}" "$dir" "$onlinedata/train" "$dir/export"
  done
fi
