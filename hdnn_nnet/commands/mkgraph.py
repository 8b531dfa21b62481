"""Make a decoding graph directory: HCLG.fst, words.txt, phones.txt, num_pdfs, disambig_tid.int and phones/."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Graph."""

    lang_dir: str = argument("with G.fst and L_disambig.fst")
    model_dir: str = argument("with final.mdl (any kind that begins with a transition model) and tree")
    graph_dir: str = argument("graph directory to write")
    transition_scale: float = option(1.0, "scale of transitions between states", at_least=0)
    self_loop_scale: float = option(0.1, "scale of self-loops and of leaving them", at_least=0)


EXAMPLE = "hdnn mkgraph data/lang_test exp/mono exp/mono/graph"
WRITES = "graph_dir"


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    import kaldifst

    from hdnn_nnet.atomic import atomic_path, copy_files, write_text
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.graph.make import make_graph
    from hdnn_nnet.kaldi.symbols import write_integers
    from hdnn_nnet.kaldi.transitions import TransitionModel
    from hdnn_nnet.kaldi.tree import ContextDependency
    from hdnn_nnet.lang.graph_size import megabytes, phones_of_lang

    log = logging.getLogger(__name__)
    lang, model, target = Path(options.lang_dir), Path(options.model_dir), Path(options.graph_dir)
    transition_model = TransitionModel.read(model / "final.mdl")
    tree = ContextDependency.read(model / "tree")
    if not transition_model.topology.is_hmm and options.self_loop_scale == 0.1:
        log.warning("a chain model wants --self-loop-scale 1.0")
    phones = phones_of_lang(lang)
    if phones:
        log.info("%s/HCLG.fst will have about %.0f MB", target, megabytes(phones))
    graph = make_graph(lang, transition_model, tree, options.transition_scale, options.self_loop_scale)

    target.mkdir(parents=True, exist_ok=True)
    copy_files(lang, target, ["words.txt", "phones.txt"])
    names = [
        f"{name}.{kind}"
        for name in ("word_boundary", "align_lexicon", "optional_silence", "disambig", "silence")
        for kind in ("txt", "int", "csl")
    ]
    copy_files(lang / "phones", target / "phones", names)
    write_integers(target / "disambig_tid.int", graph.disambig_tids)
    write_text(target / "num_pdfs", f"{transition_model.num_pdfs}\n")
    # The graph last: a directory with HCLG.fst is complete.
    with atomic_path(target / "HCLG.fst") as temporary:
        const = kaldifst.StdConstFst(graph.fst)
        if not const.write(str(temporary)):
            raise HdnnError(f"cannot write {target}/HCLG.fst; is the disk full?")
    log.info("%s/HCLG.fst: %d states, %d pdfs", target, graph.fst.num_states, transition_model.num_pdfs)
