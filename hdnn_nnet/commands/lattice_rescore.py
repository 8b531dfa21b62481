"""Take the language model that lattices were decoded with out of their costs, and put another one in.

A graph of a small model decodes, a large model has the last word. As Kaldi's lattice-lmrescore --lm-scale=-1 with the old G and
--lm-scale=1 with the new one. OLD or NEW may be '' to take only one of the steps.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    old: str = argument("language model of the lattices: lang directory, or its G.fst; '' leaves it in")
    new: str = argument("the other one, with the same words.txt; '' adds none")
    lattices: str = argument("table of lattices, an archive such as lat.1.gz, or a decode directory")
    wspecifier: str = argument("where they go, for example ark:| gzip -c > rescored.gz")
    lm_scale: float = option(1.0, "of what is taken out and put in", above=0)


EXAMPLE = "hdnn lattice rescore data/lang_tg data/lang_whole lat.1.gz 'ark:| gzip -c > rescored.gz'"


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.fst import read_fst
    from hdnn_nnet.kaldi.symbols import check_words
    from hdnn_nnet.lattice.directory import open_lattices
    from hdnn_nnet.lattice.grammar import Grammar
    from hdnn_nnet.lattice.lm_rescore import lm_rescore
    from hdnn_nnet.lattice.table import LatticeWriter

    log = logging.getLogger(__name__)
    named = [name for name in (options.old, options.new) if name]
    if not named:
        raise HdnnError("give an old or a new language model")
    if len(named) == 2 and all(Path(name).is_dir() for name in named):
        check_words(*named)
    grammars = [
        Grammar(read_fst(Path(name) / "G.fst" if Path(name).is_dir() else name)) if name else None
        for name in (options.old, options.new)
    ]
    done = failed = before = after = 0
    with LatticeWriter(options.wspecifier) as writer:
        for key, lattice in open_lattices(options.lattices):
            try:
                found = lm_rescore(
                    lattice, grammars[0], grammars[1], options.lm_scale, f"{options.lattices}, key {key}"
                )
            except HdnnError as error:
                log.warning("%s", error)
                failed += 1
                continue
            writer.write_lattice(key, found)
            done, before, after = done + 1, before + lattice.num_arcs, after + found.num_arcs
        if not done:
            raise HdnnError(f"{options.lattices}: no lattice with a path under both models")
    log.info(
        "Rescored %d lattices, %d arcs before and %d after; %d without a path left out", done, before, after, failed
    )
