"""Score the lattices of a decode directory over LM weights and word insertion penalties."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.tables import read_scp
from hdnn_nnet.score.best import best, read_wer_files
from hdnn_nnet.score.sweep import combinations, read_directory, sweep
from hdnn_nnet.score.text import WordFilter, read_text, write_hypotheses
from hdnn_nnet.score.wer import align, compute_wer, operations_table, per_speaker, per_utterance

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Write `wer_N_P` and `scoring_kaldi/`, the layout of Kaldi's steps/score_kaldi.sh."""
    parser = OptionParser("hdnn-score", __doc__ or "")
    parser.add_argument("--min-lmwt", type=int, default=4, help="lowest language model weight")
    parser.add_argument("--max-lmwt", type=int, default=15, help="highest language model weight")
    parser.add_argument("--word-ins-penalty", default="0.0,0.5,1.0", help="word insertion penalties, with commas")
    parser.add_argument("--filter", default="", help="file of words to leave out or replace, such as local/wer_filter")
    parser.add_bool("--allow-missing", False, "score although utterances have no lattice; the WER is marked PARTIAL")
    parser.add_argument("data", help="data directory with text and utt2spk")
    parser.add_argument("lang", help="lang or graph directory with words.txt")
    parser.add_argument("directory", help="decode directory with num_jobs and lat.N.gz")
    options = parser.parse_args(argv)
    penalties = [word for word in options.word_ins_penalty.split(",") if word]
    try:
        wanted = combinations(options.min_lmwt, options.max_lmwt, penalties)
        [float(penalty) for penalty in penalties]
    except ValueError as error:
        raise HdnnError(f"--word-ins-penalty {options.word_ins_penalty}: expected numbers, such as 0.0,0.5") from error
    if not wanted:
        raise HdnnError("--word-ins-penalty is empty; give at least 0.0")

    directory = Path(options.directory)
    word_filter = WordFilter.read(options.filter) if options.filter else WordFilter()
    reference = {key: word_filter(words) for key, words in read_text(Path(options.data) / "text").items()}
    symbols = SymbolTable.read(Path(options.lang) / "words.txt")
    utt2spk = read_scp(Path(options.data) / "utt2spk")
    if not any(reference.values()):
        raise HdnnError(f"{options.data}/text holds no words to score")

    numbers = sweep(read_directory(directory), wanted)
    decoded = numbers[wanted[0]]
    missing = [key for key in reference if key not in decoded]
    extra = [key for key in decoded if key not in reference]
    if extra:
        logger.warning("%d lattices have no reference and are not scored, such as %s", len(extra), extra[0])
    if missing and not options.allow_missing:
        raise HdnnError(
            f"{directory}: {len(missing)} of {len(reference)} utterances of {options.data}/text have no lattice, "
            f"such as {' '.join(missing[:5])}; decode them, or score without them with --allow-missing true"
        )

    scoring = directory / "scoring_kaldi"
    for old in directory.glob("wer_*"):
        old.unlink()  # of an earlier sweep; it would enter the choice of the best
    write_hypotheses(scoring / "test_filt.txt", reference)
    texts = {}
    for (weight, penalty), hypotheses in numbers.items():
        text = {key: word_filter([symbols.symbol(w) for w in words]) for key, words in hypotheses.items()}
        texts[weight, penalty] = text
        write_hypotheses(scoring / f"penalty_{penalty}" / f"{weight}.txt", text)
        write_text(directory / f"wer_{weight}_{penalty}", compute_wer(reference, text, mode="present").report())

    chosen = best(read_wer_files(directory))
    write_text(scoring / "best_wer", f"{chosen.line} {chosen.path}\n")
    alignments = align(reference, texts[chosen.lmwt, chosen.penalty])
    details = scoring / "wer_details"
    write_text(details / "lmwt", f"{chosen.lmwt}\n")
    write_text(details / "wip", f"{chosen.penalty}\n")
    write_text(details / "per_utt", per_utterance(alignments))
    write_text(details / "per_spk", per_speaker(alignments, utt2spk))
    write_text(details / "ops", operations_table(alignments))
    logger.info("scored %d utterances, %d missing, %d combinations", len(alignments), len(missing), len(wanted))
    print(f"{chosen.line} {chosen.path}")
    return 0


if __name__ == "__main__":
    run(main, "hdnn-score")
