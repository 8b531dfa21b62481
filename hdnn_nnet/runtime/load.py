"""Recognisers from directories: a trained model with a graph, or an export."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export import manifest
from hdnn_nnet.export.nnet3 import check_acoustic_model
from hdnn_nnet.export.onnx_session import OnnxModel
from hdnn_nnet.export.options import FeatureKindOptions
from hdnn_nnet.export.vosk_dir import read_config_of
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.stats import accumulate_cmvn
from hdnn_nnet.feats.transforms import Cmvn, Deltas
from hdnn_nnet.graph.graph_dir import check_graph, silence_phones
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.options import WEIGHTS
from hdnn_nnet.nn.prior import counts_path, read_log_prior
from hdnn_nnet.nn.streaming import ContextStream, torch_stream
from hdnn_nnet.runtime.options import Pauses, RecogniserOptions, Search
from hdnn_nnet.runtime.recogniser import LatticeRecogniser, Recogniser, Scoring
from hdnn_nnet.runtime.vosk_recogniser import VoskRecogniser
from hdnn_nnet.score.best import best, read_wer_files
from hdnn_nnet.score.ctm import read_word_boundary


def load_recogniser(directory: str | os.PathLike[str], options: RecogniserOptions) -> Recogniser:
    """Open a directory.

    Raises:
        HdnnError: files are missing, damaged or do not belong together, or the directory is no model.
    """
    directory = Path(directory)
    if (directory / manifest.FILE).is_file():
        return _exported(directory, options)
    if not (directory / "model.json").is_file():
        raise HdnnError(f"{directory} holds neither model.json (a trained model) nor {manifest.FILE} (an export)")
    if options.runtime not in ("", "torch"):
        raise HdnnError(
            f"{directory} is a trained model; export it for --runtime {options.runtime} (docs/deployment.md)"
        )
    return _trained(directory, options)


def _trained(directory: Path, options: RecogniserOptions) -> LatticeRecogniser:
    # These bring torch, which exports do without.
    from hdnn_nnet.export.source import model_feature_description, overlay
    from hdnn_nnet.nn.model_dir import load_model, read_option_file

    model = load_model(directory, options.weights)
    if options.params:
        overlay(model, options.params)
    prior = read_log_prior(counts_path(directory), model.num_pdfs)
    description = model_feature_description(directory, options.features)
    cmvn, deltas = (read_option_file(directory / name) for name in ("cmvn_opts", "delta_opts"))
    prepare = _preparation(Cmvn.parse(cmvn), Deltas.parse(deltas), str(directory))
    transitions = TransitionModel.read(directory / "final.mdl")
    graph_dir = Path(options.graph_dir) if options.graph_dir else find_graph(directory)
    order = Deltas.parse(deltas)
    dim = description.extractor().dim * (1 + (order.delta_order if order else 0))
    _check_dims(dim, model.feat_dim, transitions.num_pdfs, model.num_pdfs, str(directory))
    scoring = _scoring(directory / "decode_dev", options)
    _limit_threads(options.num_threads)
    return _lattices(
        lambda: torch_stream(model, prior), description, graph_dir, transitions, directory, prepare, scoring, options
    )


def _exported(directory: Path, options: RecogniserOptions) -> Recogniser:
    listed = manifest.read_manifest(directory)
    runtime = options.runtime or next((r for r in manifest.NEEDED if _has(listed["files"], manifest.NEEDED[r])), "vosk")
    if runtime not in manifest.NEEDED:
        raise HdnnError(f"{directory} is an export; --runtime {runtime} takes the directory that was trained")
    if options.params or options.features != FeatureKindOptions() or options.weights != WEIGHTS:
        raise HdnnError(
            "an export has its parameters and features fixed; leave out --weights, --params, --feat-type and --feat-config"
        )
    manifest.check_files(directory, *manifest.NEEDED[runtime])
    description = read_config_of(directory)
    transitions = check_acoustic_model(directory / "am/final.mdl")
    graph_dir = Path(options.graph_dir) if options.graph_dir else directory / "graph"
    if runtime == "vosk":
        if options.graph_dir or options.lm_weight is not None or options.word_ins_penalty or options.search != Search():
            raise HdnnError(
                "Vosk reads graph/ and conf/model.conf of its directory; export the model with other options"
            )
        if options.pauses != Pauses():
            raise HdnnError("Vosk finds the ends of utterances itself; leave out --pause and --longest")
        check_graph(graph_dir, transitions, directory)
        dim, wanted = description.extractor().dim, listed["model"]["network"]["feat_dim"]
        _check_dims(dim, wanted, transitions.num_pdfs, listed["model"]["network"]["num_pdfs"], str(directory))
        return VoskRecogniser(directory, int(description.extractor().rate))
    path = directory / manifest.NEEDED[runtime][0]
    onnx = OnnxModel(path, options.num_threads)
    if onnx.output_name != "loglikes":
        raise HdnnError(
            f"{path} gives {onnx.output_name}, a decoder needs log-likelihoods; export it with --subtract-prior true"
        )
    _check_dims(description.extractor().dim, onnx.feat_dim, transitions.num_pdfs, onnx.num_pdfs, str(directory))
    wer = listed["model"].get("wer", {})
    scoring = Scoring(
        options.lm_weight or wer.get("lm_weight", Scoring.lm_weight),
        float(wer.get("penalty", 0.0)) if options.word_ins_penalty is None else options.word_ins_penalty,
    )
    if options.search.search == "auto":  # k2 would load torch, which costs more memory than all the rest
        options = replace(options, search=replace(options.search, search="numpy"))
    elif options.search.search == "k2":
        _limit_threads(options.num_threads)
    return _lattices(onnx.stream, description, graph_dir, transitions, directory, None, scoring, options)


def _limit_threads(number: int) -> None:
    """Of torch, on which k2 is built, too."""
    import torch

    torch.set_num_threads(number)


def _has(files: dict[str, object], prefixes: tuple[str, ...]) -> bool:
    return all(any(name.startswith(prefix) for name in files) for prefix in prefixes)


def _lattices(
    stream: Callable[[], ContextStream],
    description: FeatureDescription,
    graph_dir: Path,
    transitions: TransitionModel,
    model_dir: Path,
    prepare: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
    scoring: Scoring,
    options: RecogniserOptions,
) -> LatticeRecogniser:
    graph = check_graph(graph_dir, transitions, model_dir)
    boundary = graph_dir / "phones" / "word_boundary.int"
    return LatticeRecogniser(
        stream,
        description.extractor(),
        graph,
        transitions,
        SymbolTable.read(graph_dir / "words.txt"),
        silence_phones(graph_dir, optional=True),
        prepare=prepare,
        scoring=scoring,
        pauses=options.pauses,
        search=options.search,
        boundary=read_word_boundary(boundary) if boundary.is_file() else None,
    )


def _check_dims(features: int, wanted: int, pdfs: int, outputs: int, where: str) -> None:
    if features != wanted:
        raise HdnnError(
            f"{where}: the features have {features} columns, the network takes {wanted}; the feature options differ"
        )
    if pdfs != outputs:
        raise HdnnError(f"{where}: the network has {outputs} pdfs, final.mdl {pdfs}; they are not of one training")


def _scoring(decoded: Path, options: RecogniserOptions) -> Scoring:
    """LM weight and penalty: chosen by the user, else the best of the decode directory, else 10 and 0."""
    scoring = Scoring()
    if decoded.is_dir() and list(decoded.glob("wer_*")):
        chosen = best(read_wer_files(decoded))
        scoring = Scoring(chosen.lmwt, float(chosen.penalty))
    return Scoring(
        options.lm_weight or scoring.lm_weight,
        scoring.penalty if options.word_ins_penalty is None else options.word_ins_penalty,
    )


def _preparation(
    cmvn: Cmvn | None, deltas: Deltas | None, where: str
) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """Normalisation and deltas of a whole recording, which counts as one speaker; None where there is neither."""
    if cmvn is None and deltas is None:
        return None

    def prepare(features: np.ndarray, sound: np.ndarray) -> np.ndarray:
        if cmvn is not None and sound.any():  # the floor of digital silence says nothing of the speaker
            offset, scale = cmvn.offset_and_scale(accumulate_cmvn(None, features[sound]), where)
            features = features + offset if scale is None else features * scale + offset
        return deltas.apply(features) if deltas is not None else features

    return prepare


def find_graph(model_dir: Path) -> Path:
    """The graph of a trained model: `graph` in its directory, or the only one in a directory beside it.

    Where there are several beside it, those are meant whose GMM has the model's transition-ids (one tree, one topology).

    Raises:
        HdnnError: none, or several.
    """
    if (model_dir / "graph/HCLG.fst").is_file():
        return model_dir / "graph"
    found = sorted(path.parent for path in model_dir.resolve().parent.glob("*/graph*/HCLG.fst"))
    if len(found) > 1:
        found = _of_same_states(model_dir / "final.mdl", found) or found
    if len(found) != 1:
        what = (
            f"{len(found)} graphs ({', '.join(p.parent.name + '/' + p.name for p in found)})" if found else "no graph"
        )
        raise HdnnError(f"{what} beside {model_dir}; say which by --graph-dir")
    return found[0]


def _of_same_states(model: Path, graphs: list[Path]) -> list[Path]:
    """The graphs in directories with a `final.mdl` of the same transition-ids."""
    if not model.is_file():
        return []
    tuples = TransitionModel.read(model).tuples
    beside = [graph for graph in graphs if (graph.parent / "final.mdl").is_file()]
    return [g for g in beside if np.array_equal(TransitionModel.read(g.parent / "final.mdl").tuples, tuples)]
