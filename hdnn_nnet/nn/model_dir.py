"""The model directory: network weights and description beside the Kaldi files that decoding needs.

`final.safetensors` holds the parameters and the global mean and inverse standard deviation, `model.json` the architecture.
Kaldi's part (`final.mdl`, `tree`, `phones.txt`, `ali_train_pdf.counts`, `cmvn_opts`, `delta_opts`, `num_jobs`) is what the
scripts of Kaldi's nnet1 expect to find.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from hdnn_nnet.atomic import copy_file, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.frame_rate import shown
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.data_dir import FEAT_OPTS
from hdnn_nnet.kaldi.text_file import read_word
from hdnn_nnet.nn.config import NetworkConfig, read_json
from hdnn_nnet.nn.networks import AcousticModel, build_network
from hdnn_nnet.nn.nnet1 import Nnet1
from hdnn_nnet.nn.tensor_file import load_tensors, save_tensors

#: what can be forwarded: a network of ours or one of Kaldi's nnet1
Network = AcousticModel | Nnet1

FORMAT = 1


def save_model(model: AcousticModel, directory: str | os.PathLike[str], name: str = "final.safetensors") -> None:
    """Write `model.json` and the weights file `name` into `directory`, each atomically."""
    directory = Path(directory)
    description: dict[str, Any] = {"format": FORMAT, "network": model.config.to_json()}
    description["num_parameters"] = model.num_parameters()
    if model.learn_rate_coefs:
        description["learn_rate_coefs"] = model.learn_rate_coefs
    write_text(directory / "model.json", json.dumps(description, indent=2) + "\n")
    save_tensors(model.state_dict(), directory / name)


def load_config(directory: str | os.PathLike[str]) -> NetworkConfig:
    """The architecture of a model directory."""
    path = Path(directory) / "model.json"
    content: Any = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or "network" not in content:
        raise HdnnError(f"{path}: not a model description of format {FORMAT}")
    return NetworkConfig.from_json(content["network"], path)


def frame_factor(directory: str | os.PathLike[str]) -> int | None:
    """Frames that a row of the network's features stands for; None for one of Kaldi's, which does not tell."""
    return load_config(directory).frame_factor if (Path(directory) / "model.json").is_file() else None


def require_frame_rate(directory: str | os.PathLike[str], reader: FeatureReader) -> None:
    """Check that features come at the rate that the network of a model directory was trained on.

    Raises:
        HdnnError: they do not; model, data and the remedy are named.
    """
    factor = frame_factor(directory)
    if factor not in (None, reader.rate.factor):
        raise HdnnError(
            f"{directory} was trained on {shown(factor)} (model.json), {reader.data_dir} has {shown(reader.rate.factor)}: give "
            f"the data directory with the model's features, or state --frame-factor={factor} in {reader.data_dir}/{FEAT_OPTS}"
        )


def load_model(directory: str | os.PathLike[str], name: str = "final.safetensors") -> AcousticModel:
    """The network of a model directory, on the CPU, in evaluation mode.

    Raises:
        HdnnError: a file is missing or damaged, or weights and description disagree.
    """
    config, weights = load_config(directory), Path(directory) / name
    if weights.is_file() and config.num_weights > weights.stat().st_size:  # a damaged number may ask for terabytes
        raise HdnnError(f"{directory}/model.json does not fit {name}, which is too small for {config.name}")
    model = build_network(config)
    load_weights(model, weights)
    model.learn_rate_coefs = _learn_rate_coefs(model, Path(directory) / "model.json")
    return model.eval()


def _learn_rate_coefs(model: AcousticModel, path: Path) -> dict[str, float]:
    coefs = read_json(path).get("learn_rate_coefs", {})
    names = {name for name, _ in model.named_parameters()}
    right = isinstance(coefs, dict) and coefs.keys() <= names
    if not right or not all(isinstance(c, int | float) and 0 <= c < float("inf") for c in coefs.values()):
        raise HdnnError(f"{path}: learn_rate_coefs are no factors of its parameters; import or copy the model again")
    return {name: float(coef) for name, coef in coefs.items()}


def load_network(directory: str | os.PathLike[str], name: str = "final.safetensors") -> Network:
    """The network of a model directory of ours, or of one that Kaldi's steps/nnet/train.sh left."""
    directory = Path(directory)
    if not (directory / "model.json").is_file() and (directory / "final.nnet").is_file():
        return Nnet1.load(directory)
    return load_model(directory, name)


def load_weights(model: AcousticModel, path: str | os.PathLike[str]) -> None:
    """Fill `model` from a weights file after checking names, shapes and finiteness."""
    tensors = load_tensors(path)
    wanted = model.state_dict()
    if tensors.keys() != wanted.keys():
        odd = sorted(tensors.keys() ^ wanted.keys())
        raise HdnnError(f"{path} does not fit {model.config.name}: {', '.join(odd)} missing or superfluous")
    for key, value in tensors.items():
        if value.shape != wanted[key].shape:
            raise HdnnError(f"{path}: {key} has shape {tuple(value.shape)}, model.json says {tuple(wanted[key].shape)}")
        if not torch.isfinite(value).all():
            raise HdnnError(f"{path}: {key} holds NaN or infinity; train again with a lower rate")
    model.load_state_dict(tensors)


def model_signature(model: AcousticModel) -> str:
    """A checksum (SHA-256, hexadecimal) of the architecture and of all parameters and statistics, bit by bit."""
    digest = hashlib.sha256(json.dumps(model.config.to_json(), sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def copy_kaldi_files(source: str | os.PathLike[str], directory: str | os.PathLike[str]) -> None:
    """Copy what decoding needs of an alignment directory: `final.mdl` and, where they exist, tree, phones.txt, num_jobs."""
    source, directory = Path(source), Path(directory)
    if not (source / "final.mdl").is_file():
        raise HdnnError(
            f"{source}/final.mdl does not exist; give an alignment directory that Kaldi or align_si.sh made"
        )
    for name in ("final.mdl", "tree", "phones.txt", "num_jobs"):
        if (source / name).is_file():
            copy_file(source / name, directory / name)


def read_option_file(path: str | os.PathLike[str]) -> str:
    """One-line option files such as `cmvn_opts`; a missing file is an empty line."""
    path = Path(path)
    return read_word(path) if path.is_file() else ""
