"""What an export is made from: a model directory, opened and checked."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.manifest import checksum
from hdnn_nnet.export.options import FeatureKindOptions, SourceOptions
from hdnn_nnet.feats.description import SSL, FeatureDescription
from hdnn_nnet.feats.frame_rate import shown
from hdnn_nnet.kaldi.alignments import read_counts
from hdnn_nnet.kaldi.data_dir import FEATS_OF
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.import_nnet1 import folded
from hdnn_nnet.nn.model_dir import frame_factor, load_model, read_option_file
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.nn.prior import counts_path, log_prior
from hdnn_nnet.nn.tensor_file import load_tensors
from hdnn_nnet.score.best import WerFile, best, read_wer_file, read_wer_files


@dataclass
class Source:
    """A model directory.

    Attributes:
        log_prior: (num_pdfs,).
        features: how the features were computed.
        description: what the model card and the list of files say about it; plain values.
        dev: its best result on the development set, None without decoding results.
    """

    model: AcousticModel
    log_prior: np.ndarray
    transitions: TransitionModel
    features: FeatureDescription
    description: dict[str, Any]
    dev: WerFile | None


def model_feature_description(model_dir: Path, options: FeatureKindOptions) -> FeatureDescription:
    """How the features of a model were computed: its `feat_opts`, or what the options say.

    Raises:
        HdnnError: neither is there, or they contradict each other.
    """
    kind, config = options.feat_type, options.feat_config
    known = FeatureDescription.read(model_dir)
    origin = model_dir / FEATS_OF
    if origin.is_file():
        raise HdnnError(
            f"{model_dir} was trained on {read_option_file(origin)}, which a device cannot compute; export a network trained on "
            "mfcc or fbank features"
        )
    if (known is not None and known.kind == SSL) or frame_factor(model_dir) not in (None, 1):
        raise HdnnError(
            f"{model_dir} was trained on {shown(frame_factor(model_dir))} ({known.line() if known else 'model.json'}), which a "
            "device cannot compute; export a student of it, trained on mfcc or fbank features (docs/distillation.md)"
        )
    if not kind and not config:
        if known is None:
            raise HdnnError(
                f"{model_dir} does not say how its features were computed (no feat_opts; it was trained by an older version); "
                "give --feat-type and --feat-config as in steps_py/make_feats.sh"
            )
        return known
    kind = kind or (known.kind if known else "")
    if not kind:
        raise HdnnError("--feat-config needs --feat-type mfcc or fbank")
    given = FeatureDescription.from_config(kind, config) if config else FeatureDescription.make(kind, {})
    if (known is not None and known.kaldi_config() != given.kaldi_config()) or (
        known is not None and known.kind != kind
    ):
        raise HdnnError(
            f"{model_dir} was trained on features of {known.line()}, --feat-type and --feat-config say {given.line()}; "
            "leave them out"
        )
    return given


def open_source(model_dir: str | os.PathLike[str], options: SourceOptions) -> Source:
    """Open a model directory for export.

    Raises:
        HdnnError: a file is missing or damaged, files do not belong together, or the model reads features that an exported
            model cannot have: normalised by speaker, or with deltas.
    """
    directory = Path(model_dir)
    model = load_model(directory, options.weights)
    if options.params:
        overlay(model, options.params)
    model = folded(model)
    cmvn_opts, delta_opts = (read_option_file(directory / name) for name in ("cmvn_opts", "delta_opts"))
    if cmvn_opts:
        raise HdnnError(
            f"{directory} reads features normalised by speaker ({cmvn_opts}); a device does not know its speaker. Export a "
            'student trained with --cmvn-opts "" (docs/deployment.md)'
        )
    if delta_opts:
        raise HdnnError(f"{directory} reads deltas ({delta_opts}), which decoders cannot add; train on splicing alone")
    features = model_feature_description(directory, options.features)
    if (dim := features.extractor().dim) != model.feat_dim:
        raise HdnnError(f"{features.line()} gives {dim} features a frame, {directory} takes {model.feat_dim}")
    transitions = TransitionModel.read(directory / "final.mdl")
    counts_file = Path(options.class_frame_counts) if options.class_frame_counts else counts_path(directory)
    counts = read_counts(counts_file)
    if not len(counts) == model.num_pdfs == transitions.num_pdfs:
        raise HdnnError(
            f"{directory}: the network has {model.num_pdfs} pdfs, {counts_file.name} {len(counts)}, final.mdl "
            f"{transitions.num_pdfs}; take files of one training"
        )
    config = model.config
    description: dict[str, Any] = {
        "network": config.to_json(),
        "parameters": model.num_parameters(),
        "weights": checksum(directory / options.weights),
        "adapted": checksum(options.params) if options.params else "",
        "criterion": read_option_file(directory / "criterion") or "CE",
        "features": features.line(),
        # analyze-counts adds half a frame to each pdf
        "training_hours": round(
            float(read_counts(directory / "ali_train_pdf.counts").sum()) * features_shift(features) / 3600, 2
        ),
        "trained_on": options.trained_on,
        "licence": options.licence,
    }
    chosen = None
    if (directory / options.dev).is_dir():
        chosen = best(read_wer_files(directory / options.dev))
        wer: dict[str, Any] = {"lm_weight": chosen.lmwt, "penalty": chosen.penalty}
        # The sets were decoded with the network as trained; of other parameters their WER says nothing.
        if not options.params and options.weights == "final.safetensors":
            wer |= {"dev": chosen.wer, "words": chosen.words}
            on_eval = directory / options.eval / chosen.path.name
            if on_eval.is_file():
                wer["eval"] = read_wer_file(on_eval).wer
        description["wer"] = wer
    return Source(model, log_prior(counts), transitions, features, description, chosen)


def features_shift(features: FeatureDescription) -> float:
    """Seconds between frames."""
    return features.extractor().frame_shift


def overlay(model: AcousticModel, path: str | os.PathLike[str]) -> None:
    """Replace tensors of a network by those of a safetensors file, by name, such as `gates` adapted to a speaker.

    Raises:
        HdnnError: a tensor that the network does not have, of another shape, or not finite.
    """
    tensors = load_tensors(path)
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            wanted = f"of shape {tuple(own[name].shape)}" if name in own else f"one of {', '.join(own)}"
            raise HdnnError(f"{path}: {name} of shape {tuple(tensor.shape)}; {model.name} wants {wanted}")
        if not torch.isfinite(tensor).all():
            raise HdnnError(f"{path}: {name} holds NaN or infinity; adapt again")
    model.load_state_dict({**own, **{name: tensor.to(own[name].dtype) for name, tensor in tensors.items()}})
