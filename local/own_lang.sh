#!/usr/bin/env bash
# Dictionary, lang directory and language model of one's own corpus: words of train and the most frequent ones of a text; the
# model pruned until its decoding graph has the size that is allowed. The whole model stays in <lang>_whole, for lattices.
# usage: own_lang.sh [options] <data> <lang-dir> <lang-test-dir>
# e.g.:  own_lang.sh --lm-text books.txt.gz data/own data/own/lang data/own/lang_tg

units=phones         # phones, or bpe (no dictionary is needed)
lexicon=             # own pronunciations, lines "WORD phones"; default: CMUdict (English), others guessed
lm_text=             # sentences, one a line, .gz or not
max_words=           # {N} of the text, besides train's, the most frequent; default: 1000 for each MB of the graph, a third of it
max_graph_mb=100     # of HCLG.fst
digits=leave-out     # lines of the text with digits: leave-out, or spell
language=en          # of --digits spell
. "$(dirname "$0")/../steps_py/step.sh" || exit 1
data=$1 lang=$2 lang_test=$3

train=$data/ihm/train/text
need_files "$train" "$data/ihm/dev/text"
lock_output "$lang"
max_words=${max_words:-$(awk -v mb="$max_graph_mb" 'BEGIN { printf "%d", 1000 * mb }')}
texts=("$train") extra=() tests=()
if [ -n "$lm_text" ]; then
  need_files "$lm_text"
  hdnn lang normalise --digits "$digits" --language "$language" "$lm_text" "$data/lm/lm_text.txt"
  tr ' ' '\n' < "$data/lm/lm_text.txt" | LC_ALL=C sort | uniq -c | LC_ALL=C sort -k1,1nr -k2 |
    awk -v n="$max_words" 'NR <= n { print $2 }' > "$data/lm/words.txt"
  texts+=("$data/lm/lm_text.txt") extra=(--extra-words "$data/lm/words.txt")
fi
if [ -f "$data/ihm/eval/text" ]; then tests=(--test "$data/ihm/eval/text"); fi
hdnn lang dict --units "$units" --vocab-size 0 ${lexicon:+--lexicon "$lexicon"} ${extra[@]+"${extra[@]}"} "$train" "$data/dict"
hdnn lang prepare "$data/dict" '<unk>' "$lang"
hdnn lang train-lm --max-graph-mb "$max_graph_mb" --vocab "$data/dict/lexicon.txt" ${tests[@]+"${tests[@]}"} \
  "$data/ihm/dev/text" "$data/lm" "${texts[@]}"
rm -rf "${lang}_whole"
if [ -f "$data/lm/lm_pruned.arpa.gz" ]; then
  hdnn lang format-lm "$lang" "$data/lm/lm.arpa.gz" "${lang}_whole"
  hdnn lang format-lm "$lang" "$data/lm/lm_pruned.arpa.gz" "$lang_test"
else
  hdnn lang format-lm "$lang" "$data/lm/lm.arpa.gz" "$lang_test"
fi
