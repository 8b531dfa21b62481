"""Make a decoding graph directory: HCLG.fst, words.txt, phones.txt, num_pdfs, disambig_tid.int and phones/."""

import logging
from collections.abc import Sequence
from pathlib import Path

import kaldifst

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.decoding_graph import make_graph
from hdnn_nnet.gmm.directory import copy_files
from hdnn_nnet.kaldi.symbols import write_integers
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency

PHONE_FILES = ("word_boundary", "align_lexicon", "optional_silence", "disambig", "silence")


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("hdnn-mkgraph", __doc__ or "")
    parser.add_argument("--transition-scale", type=float, default=1.0, help="scale of transitions between states")
    parser.add_argument("--self-loop-scale", type=float, default=0.1, help="scale of self-loops and of leaving them")
    parser.add_argument("lang_dir", help="with G.fst and L_disambig.fst")
    parser.add_argument("model_dir", help="with final.mdl (any kind that begins with a transition model) and tree")
    parser.add_argument("graph_dir")
    args = parser.parse_args(argv)

    lang, model, target = Path(args.lang_dir), Path(args.model_dir), Path(args.graph_dir)
    transition_model = TransitionModel.read(model / "final.mdl")
    tree = ContextDependency.read(model / "tree")
    if not transition_model.topology.is_hmm and args.self_loop_scale == 0.1:
        logging.warning("a chain model wants --self-loop-scale 1.0")
    graph = make_graph(lang, transition_model, tree, args.transition_scale, args.self_loop_scale)

    target.mkdir(parents=True, exist_ok=True)
    copy_files(lang, target, ["words.txt", "phones.txt"])
    names = [f"{name}.{kind}" for name in PHONE_FILES for kind in ("txt", "int", "csl")]
    copy_files(lang / "phones", target / "phones", names)
    write_integers(target / "disambig_tid.int", graph.disambig_tids)
    write_text(target / "num_pdfs", f"{transition_model.num_pdfs}\n")
    # The graph last: a directory with HCLG.fst is complete.
    with atomic_path(target / "HCLG.fst") as temporary:
        const = kaldifst.StdConstFst(graph.fst)
        if not const.write(str(temporary)):
            raise HdnnError(f"cannot write {target}/HCLG.fst; is the disk full?")
    logging.info("%s/HCLG.fst: %d states, %d pdfs", target, graph.fst.num_states, transition_model.num_pdfs)
    return 0


if __name__ == "__main__":
    run(main, "hdnn-mkgraph")
