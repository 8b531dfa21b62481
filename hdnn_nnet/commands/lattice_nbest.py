"""N best word sequences of lattices, as linear lattices or as text (the counterpart of lattice-to-nbest and nbest-to-linear).

The keys are those of the lattices with -1 (best), -2 and so on. A line of text is key, graph cost, acoustic cost (neither of them
scaled), words. Word sequences differ from each other: of the paths with the same words only the best is given.
"""

from dataclasses import dataclass

from hdnn_nnet.lattice.options import ScaleOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    lattices: str = argument("table of lattices, an archive such as lat.1.gz, or a decode directory")
    wspecifier: str = argument("where the paths go, for example ark:nbest.ark; text: a file, or - for stdout")
    n: int = option(1, "paths of each lattice, or as many as it has", at_least=1)
    output: str = option("lattices", "what is written", choices=("lattices", "text"))
    words: str = option("", "words.txt; without it, text has word numbers")
    scales: ScaleOptions = group(ScaleOptions)


EXAMPLE = "hdnn lattice nbest --n 10 --acoustic-scale 0.1 --output text --words data/lang/words.txt lat.1.gz -"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.symbols import SymbolTable
    from hdnn_nnet.lattice.best_path import path_lattice
    from hdnn_nnet.lattice.directory import open_lattices
    from hdnn_nnet.lattice.nbest import n_best
    from hdnn_nnet.lattice.table import LatticeWriter

    log = logging.getLogger(__name__)
    symbols = SymbolTable.read(options.words) if options.words else None
    done = failed = paths = 0
    acoustic_scale, lm_scale = options.scales.acoustic_scale, options.scales.lm_scale
    with LatticeWriter(options.wspecifier) as writer:
        for key, lattice in open_lattices(options.lattices):
            try:
                found = n_best(lattice, options.n, acoustic_scale, lm_scale, f"{options.lattices}, key {key}")
            except HdnnError as error:
                log.warning("%s", error)
                failed += 1
                continue
            for number, path in enumerate(found, 1):
                if options.output == "lattices":
                    writer.write_lattice(f"{key}-{number}", path_lattice(lattice, path))
                else:
                    words = [symbols.symbol(word) if symbols else str(word) for word in path.words.tolist()]
                    line = " ".join([f"{path.graph:.7g}", f"{path.acoustic:.7g}", *words])
                    writer.write(f"{key}-{number}", f"{line}\n".encode())
            done, paths = done + 1, paths + len(found)
        if not done:
            raise HdnnError(f"{options.lattices}: no lattice with a path")
    log.info("%d lattices, %.1f paths each; %d without a path left out", done, paths / done, failed)
