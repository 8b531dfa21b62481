"""Scoring of a decode directory over LM weights and word insertion penalties."""

import logging
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.lattice.directory import read_directory
from hdnn_nnet.score.best import WerFile, best, read_wer_files
from hdnn_nnet.score.intervals import write_intervals
from hdnn_nnet.score.options import ScoreOptions
from hdnn_nnet.score.sweep import Combination, combinations, sweep
from hdnn_nnet.score.text import WordFilter, read_text, write_hypotheses
from hdnn_nnet.score.wer import align, count_utterances, operations_table, per_speaker, per_utterance, total
from hdnn_nnet.text import to_float, words

log = logging.getLogger(__name__)


def score(options: ScoreOptions) -> WerFile:
    """Write `wer_N_P` and `scoring_kaldi/`, the layout of Kaldi's steps/score_kaldi.sh; gives the best result.

    Raises:
        HdnnError: lattices are missing or damaged, or there is no text to score.
    """
    data, directory = Path(options.data), Path(options.directory)
    wanted = _combinations(options)
    word_filter = WordFilter.read(options.filter) if options.filter else WordFilter()
    reference = {key: word_filter(said) for key, said in read_text(data / "text").items()}
    symbols = SymbolTable.read(Path(options.lang) / "words.txt")
    utt2spk = read_scp(data / "utt2spk")
    if not any(reference.values()):
        raise HdnnError(f"{data}/text holds no words to score")

    numbers = sweep(read_directory(directory), wanted)
    decoded = numbers[wanted[0]]
    missing = [key for key in reference if key not in decoded]
    extra = [key for key in decoded if key not in reference]
    if extra:
        log.warning("%d lattices have no reference and are not scored, such as %s", len(extra), extra[0])
    if missing and not options.allow_missing:
        raise HdnnError(
            f"{directory}: {len(missing)} of {len(reference)} utterances of {data}/text have no lattice, "
            f"such as {' '.join(missing[:5])}; decode them, or score without them with --allow-missing true"
        )

    scoring = directory / "scoring_kaldi"
    for old in directory.glob("wer_*"):
        old.unlink()  # of an earlier sweep; it would enter the choice of the best
    write_hypotheses(scoring / "test_filt.txt", reference)
    texts, counts = {}, {}
    for (weight, penalty), hypotheses in numbers.items():
        text = {key: word_filter([symbols.symbol(w) for w in said]) for key, said in hypotheses.items()}
        texts[weight, penalty] = text
        write_hypotheses(scoring / f"penalty_{penalty}" / f"{weight}.txt", text)
        counts[weight, penalty] = count_utterances(reference, text)
        write_text(directory / f"wer_{weight}_{penalty}", total(counts[weight, penalty], len(missing)).report())

    chosen = best(read_wer_files(directory))
    write_text(scoring / "best_wer", f"{chosen.line} {chosen.path}\n")
    # For whoever draws speakers later: the data directory may be gone by then.
    write_text(scoring / "utt2spk", "".join(f"{key} {utt2spk[key]}\n" for key in reference if key in utt2spk))
    write_intervals(scoring, counts, utt2spk, (chosen.lmwt, chosen.penalty), options.replications)
    alignments = align(reference, texts[chosen.lmwt, chosen.penalty])
    details = scoring / "wer_details"
    write_text(details / "lmwt", f"{chosen.lmwt}\n")
    write_text(details / "wip", f"{chosen.penalty}\n")
    write_text(details / "per_utt", per_utterance(alignments))
    write_text(details / "per_spk", per_speaker(alignments, utt2spk))
    write_text(details / "ops", operations_table(alignments))
    log.info("scored %d utterances, %d missing, %d combinations", len(alignments), len(missing), len(wanted))
    return chosen


def _combinations(options: ScoreOptions) -> list[Combination]:
    try:
        given = [to_float(word) for word in words(options.word_ins_penalty.replace(",", " "))]
        # One spelling in file names, that of Kaldi's scripts: 0.0, -0.5.
        penalties = list(dict.fromkeys(f"{value + 0.0:.7f}".rstrip("0") + "0" * value.is_integer() for value in given))
        wanted = combinations(options.min_lmwt, options.max_lmwt, penalties)
    except ValueError as error:
        raise HdnnError(
            f"--word-ins-penalty {options.word_ins_penalty}: expected numbers, such as 0.0,0.5 ({error})"
        ) from error
    if not wanted:
        raise HdnnError("--word-ins-penalty is empty; give at least 0.0")
    return wanted
