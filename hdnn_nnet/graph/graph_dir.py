"""Graph directories (`HCLG.fst`, `words.txt`, `phones/`): whether one belongs to a model."""

import os
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import Fst, read_fst
from hdnn_nnet.kaldi.symbols import SymbolTable, check_phones, read_integers
from hdnn_nnet.kaldi.text_file import read_word
from hdnn_nnet.kaldi.transitions import TransitionModel


def check_graph(
    graph_dir: str | os.PathLike[str], transitions: TransitionModel, model_dir: str | os.PathLike[str]
) -> Fst:
    """Read HCLG.fst and check that it was made with this transition model and with the words of words.txt.

    What is compared: the phones (where both directories have phones.txt), the number of pdfs, the highest transition-id and
    word, and that the transition-ids of self-loops are on loops of the graph, and no others. A tree with as many pdfs and
    states for each phone cannot be told apart; but then the pdfs mean something else, so take both from one directory.

    Raises:
        HdnnError: a file is missing or damaged, or they do not belong together.
    """
    graph_dir = Path(graph_dir)
    for name in ("HCLG.fst", "words.txt"):
        if not (graph_dir / name).is_file():
            raise HdnnError(f"{graph_dir}/{name} does not exist; make the graph with steps_py/mkgraph.sh")
    check_phones(graph_dir, model_dir)
    path = graph_dir / "num_pdfs"
    if path.is_file() and read_integers(path) != [transitions.num_pdfs]:
        raise HdnnError(
            f"{graph_dir} was made for {read_word(path)} pdfs, the model of {model_dir} has {transitions.num_pdfs}: "
            "a graph of another tree; make one with steps_py/mkgraph.sh"
        )
    fst = read_fst(graph_dir / "HCLG.fst")
    problem = HdnnError(
        f"{graph_dir}/HCLG.fst does not fit the transition model of {model_dir}: a graph of another tree; "
        "make one with steps_py/mkgraph.sh"
    )
    labels = fst.arcs["ilabel"]
    if not len(labels) or labels.min() < 0 or labels.max() > transitions.num_transition_ids:
        raise problem
    loops = fst.arcs["nextstate"] == fst.sources()
    heard = labels > 0
    if not np.array_equal(transitions.is_self_loop[labels[heard]], loops[heard]):
        raise problem
    words = SymbolTable.read(graph_dir / "words.txt")
    if int(fst.arcs["olabel"].max()) > max(words.symbols):
        raise HdnnError(
            f"{graph_dir}/HCLG.fst has words that {graph_dir}/words.txt does not have; regenerate the graph"
        )
    return fst


def silence_phones(graph_dir: str | os.PathLike[str], optional: bool = False) -> list[int]:
    """The phones of `phones/silence.csl`; with `optional` the one that stands between words. None without such a file."""
    path = Path(graph_dir) / "phones" / ("optional_silence.csl" if optional else "silence.csl")
    return read_integers(path) if path.is_file() else []
