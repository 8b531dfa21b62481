"""Oracle WER of lattices: of all paths, those nearest to the reference (the counterpart of lattice-oracle and lattice-depth).

Also the density of the lattices: how many arcs cross a frame, on average.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    lattices: str = argument("table of lattices, an archive such as lat.1.gz, or a decode directory")
    words: str = argument("words.txt of the lattices")
    text: str = argument("references, as in a data directory")
    ignore: tuple[str, ...] = option((), "words that count on neither side, with commas", metavar="WORD,...")
    oov: str = option("", "word that reference words outside words.txt count as; default: they are errors in any case")
    per_utt: bool = option(False, "one line an utterance first: errors, words, ins, del, sub, frames, density")
    transcripts: str = option("", "file for the words of the paths")


EXAMPLE = "hdnn lattice oracle --ignore '<UNK>' exp/hdnn/decode_dev data/lang/words.txt data/dev/text"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.symbols import SymbolTable
    from hdnn_nnet.lattice.directory import open_lattices
    from hdnn_nnet.lattice.info import LatticeInfo
    from hdnn_nnet.score.oracle import OracleScorer
    from hdnn_nnet.score.text import read_text, write_hypotheses

    log = logging.getLogger(__name__)
    symbols, reference = SymbolTable.read(options.words), read_text(options.text)
    scorer = OracleScorer(reference, symbols, options.ignore, options.oov)
    transcripts: dict[str, list[str]] = {}
    total, words, insertions, deletions, substitutions = LatticeInfo(), 0, 0, 0, 0
    for score in scorer.scores(open_lattices(options.lattices)):
        path, info = score.path, score.info
        if options.per_utt:
            counts = (path.errors, score.words, path.insertions, path.deletions, path.substitutions, info.frames)
            print(score.key, *counts, f"{info.density:.6g}")
        transcripts[score.key] = [symbols.symbol(word) for word in path.words.tolist()]
        total, words = total + info, words + score.words
        insertions, deletions = insertions + path.insertions, deletions + path.deletions
        substitutions += path.substitutions
    if not words:
        raise HdnnError(f"no reference words in {options.text} for the lattices of {options.lattices}")
    if missing := len(reference) - len(transcripts) - len(scorer.without_path):
        log.warning("%d utterances of %s have no lattice", missing, options.text)
    if options.transcripts:
        write_hypotheses(options.transcripts, transcripts)
    errors = insertions + deletions + substitutions
    print(
        f"Overall %WER {100 * errors / words:.2f} [ {errors} / {words}, {insertions} insertions, {deletions} deletions, "
        f"{substitutions} substitutions ]"
    )
    print(
        f"Scored {len(transcripts)} lattices, {len(scorer.without_reference)} not present in ref, "
        f"{len(scorer.without_path)} without a path."
    )
    print(f"Overall density is {total.density:.6g} over {total.frames} frames.")
