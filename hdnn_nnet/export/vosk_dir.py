"""Complete model directories for Vosk, which are also what nnet3-latgen-faster needs.

am/final.mdl     transition model, nnet3 network and priors
graph/           HCLG.fst, words.txt and what Vosk reads of phones/
conf/            model.conf (search and endpoints) and mfcc.conf or fbank.conf
"""

import os
from pathlib import Path

from hdnn_nnet.atomic import copy_file, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.nnet3 import Nnet3, write_acoustic_model
from hdnn_nnet.export.options import VoskSearch
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.graph.graph_dir import silence_phones
from hdnn_nnet.kaldi.transitions import TransitionModel

#: factor that Vosk puts on the graph's scores before it chooses words; the lattice keeps the search's acoustic scale
VOSK_GRAPH_SCALE = 0.9
_GRAPH_FILES = ("HCLG.fst", "words.txt", "phones.txt", "num_pdfs", "disambig_tid.int")
_PHONE_FILES = ("silence.csl", "optional_silence.csl", "disambig.int", "word_boundary.int", "align_lexicon.int")


def acoustic_scale(lm_weight: float) -> float:
    """The acoustic scale with which Vosk chooses words as scoring with an LM weight does: it has no LM weight of its own."""
    if not lm_weight > 0:
        raise HdnnError(f"the LM weight is {lm_weight}; it must be positive")
    return VOSK_GRAPH_SCALE / lm_weight


def write_vosk_dir(
    out: str | os.PathLike[str],
    nnet: Nnet3,
    transitions: TransitionModel,
    graph_dir: str | os.PathLike[str],
    features: FeatureDescription,
    search: VoskSearch,
    scale: float,
    binary: bool = True,
) -> list[str]:
    """Write the directory; gives the files' paths in it. The graph must have been checked (`check_graph`)."""
    out, graph_dir = Path(out), Path(graph_dir)
    write_acoustic_model(nnet, transitions, out / "am/final.mdl", binary)
    files = ["am/final.mdl"]
    for name in (*_GRAPH_FILES, *(f"phones/{name}" for name in _PHONE_FILES)):
        if (graph_dir / name).is_file():
            copy_file(graph_dir / name, out / "graph" / name)
            files.append(f"graph/{name}")
        else:
            (out / "graph" / name).unlink(missing_ok=True)  # of an earlier export
    files += write_config(out, features)
    silence = ":".join(map(str, silence_phones(graph_dir)))
    lines = [
        f"--beam={search.beam:.7g}",
        f"--lattice-beam={search.lattice_beam:.7g}",
        f"--min-active={search.min_active}",
        f"--max-active={search.max_active}",
        f"--acoustic-scale={scale:.7g}",
        "--frame-subsampling-factor=1",
    ]
    if silence:
        lines.append(f"--endpoint.silence-phones={silence}")
    write_text(out / "conf/model.conf", "".join(f"{line}\n" for line in lines))
    return [*files, "conf/model.conf"]


def write_config(out: Path, features: FeatureDescription) -> list[str]:
    """Write conf/mfcc.conf or conf/fbank.conf; Vosk takes whichever is there, so the other one goes."""
    for kind in ("mfcc", "fbank"):
        (out / f"conf/{kind}.conf").unlink(missing_ok=True)
    name = f"conf/{features.kind}.conf"
    write_text(out / name, features.kaldi_config())
    return [name]


def read_config_of(directory: str | os.PathLike[str]) -> FeatureDescription:
    """The features of an exported directory."""
    for kind in ("mfcc", "fbank"):
        path = Path(directory) / f"conf/{kind}.conf"
        if path.is_file():
            return FeatureDescription.from_config(kind, path)
    raise HdnnError(f"{directory}/conf holds neither mfcc.conf nor fbank.conf; export the model again")
