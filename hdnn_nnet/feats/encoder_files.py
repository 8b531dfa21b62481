"""A folder with a speech encoder, as transformers saves it: what its files say before the network is loaded."""

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import SSL, FeatureDescription
from hdnn_nnet.feats.frame_rate import SHIFT
from hdnn_nnet.feats.options import EncoderOptions
from hdnn_nnet.text import one_line

#: it is an extra, since few need it and it brings 120 MB
INSTALL = "pip install 'hdnn_nnet[ssl]', or transformers as pyproject.toml pins it"
_NEEDED = ("config.json", "preprocessor_config.json")
#: its feature extractor's shift of 10 ms, and one convolution of stride 2
_WHISPER_STRIDE = 2


def transformers() -> Any:
    """The package, told to stay off the network.

    Raises:
        HdnnError: it is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    try:
        import transformers as package
    except ImportError as error:
        raise HdnnError(f"features of an encoder need the package transformers ({error}); {INSTALL}") from error
    package.logging.set_verbosity_error()
    package.logging.disable_progress_bar()
    return package


@dataclass(frozen=True)
class EncoderFiles:
    """What a folder holds.

    Attributes:
        config: of transformers, by kind of model.
        extractor: what turns samples into the network's inputs, of transformers.
        rate: samples a second.
        hop: samples between rows.
        field: samples that a row is made of; Whisper pads, so its rows are those that end with the audio.
        layers: hidden layers.
    """

    folder: Path
    config: Any
    extractor: Any
    rate: int
    hop: int
    field: int
    layers: int

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "EncoderFiles":
        """Read and check the small files.

        Raises:
            HdnnError: one is missing or damaged, or the model is no speech encoder that we know.
        """
        path = Path(folder)
        for name in _NEEDED:
            if not (path / name).is_file():
                raise HdnnError(
                    f"{path}/{name} does not exist; --model takes a folder with a speech encoder as transformers saves it "
                    "(config.json, preprocessor_config.json, model.safetensors): nothing is downloaded"
                )
        package = transformers()
        try:
            config = package.AutoConfig.from_pretrained(path, local_files_only=True)
            extractor = package.AutoFeatureExtractor.from_pretrained(path, local_files_only=True)
        except Exception as error:  # it raises what its parts raise
            raise HdnnError(f"{path}: transformers cannot read it ({one_line(error)})") from error
        rate, kind = int(getattr(extractor, "sampling_rate", 0)), config.model_type
        if kind == "whisper":
            hop, layers = _WHISPER_STRIDE * extractor.hop_length, config.encoder_layers
            field = hop
        elif (
            getattr(config, "conv_stride", None)
            and getattr(config, "conv_kernel", None)
            and not config.is_encoder_decoder
        ):
            hop, field, layers = math.prod(config.conv_stride), 1, config.num_hidden_layers
            for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
                field = (field - 1) * stride + kernel
        else:
            raise HdnnError(f"{path} is a model of type {kind}; wav2vec 2.0, HuBERT, WavLM and Whisper are supported")
        if rate <= 0 or hop % round(rate * SHIFT):
            raise HdnnError(
                f"{path}: a row every {hop} samples at {rate} samples a second is no multiple of {SHIFT * 1000:g} ms"
            )
        return cls(path, config, extractor, rate, hop, field, layers)

    @property
    def is_whisper(self) -> bool:
        return self.config.model_type == "whisper"

    @property
    def factor(self) -> int:
        """Frames of 10 ms to a row."""
        return self.hop // round(self.rate * SHIFT)

    def checksum(self) -> str:
        """Of configuration and weights, 16 hexadecimal digits of SHA-256.

        Raises:
            HdnnError: no weights that can be read without running code.
        """
        weights = sorted(self.folder.glob("model*.safetensors"))
        if not weights:
            raise HdnnError(
                f"{self.folder} has no model.safetensors; save the model again as such (save_pretrained): pickled weights are "
                "not read, since they may hold programs"
            )
        digest = hashlib.sha256()
        for path in (*(self.folder / name for name in _NEEDED), *weights):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    def describe(self, options: EncoderOptions) -> FeatureDescription:
        """The features' description.

        Raises:
            HdnnError: a layer that the encoder does not have.
        """
        weights = options.weights()
        if options.layer is not None and options.layer > self.layers:
            raise HdnnError(f"--layer {options.layer}: {self.folder} has layers 0 to {self.layers}")
        if weights and len(weights) != self.layers + 1:
            raise HdnnError(
                f"--layer-weights: {len(weights)} numbers, but {self.folder} has layers 0 to {self.layers}; give "
                f"{self.layers + 1}"
            )
        own = {"model": self.folder.resolve().name, "checksum": self.checksum(), "frame-factor": str(self.factor)}
        if weights:
            own["layer-weights"] = ",".join(f"{weight:g}" for weight in weights)
        else:
            own["layer"] = str(self.layers if options.layer is None else options.layer)
        own |= {"window": f"{options.window:g}", "overlap": f"{options.overlap:g}"}
        if options.pad is not None:
            if not self.is_whisper:
                raise HdnnError(
                    f"--pad is for Whisper, and {self.folder} is of type {self.config.model_type}: leave it out"
                )
            own["pad"] = f"{options.pad:g}"
        return FeatureDescription.make(SSL, own)
