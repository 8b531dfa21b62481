"""A speech encoder of transformers (wav2vec 2.0, HuBERT, WavLM, Whisper) as an extractor of features."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.encoder_files import EncoderFiles, transformers
from hdnn_nnet.feats.options import EncoderOptions
from hdnn_nnet.text import one_line

#: of 16-bit samples
_FULL_SCALE = 32768.0
#: parameters that only the training of an encoder uses
_UNUSED = ("masked_spec_embed",)


class Window(NamedTuple):
    """Rows `first` to `last` of an utterance are encoded, and `begin` to `end` of them kept."""

    first: int
    last: int
    begin: int
    end: int


def windows(rows: int, most: int, shared: int) -> Iterator[Window]:
    """Windows of at most `most` rows over `rows`, in order; two share `shared` rows, of which each keeps its half.

    The last one ends with the utterance and is as long as the others, so that no window is short of context.
    """
    begin = 0
    while begin < rows:
        first = max(0, min(begin - shared // 2, rows - most))
        last = min(rows, first + most)
        end = rows if last == rows else last - (shared - shared // 2)
        yield Window(first, last, begin, end)
        begin = end


class SpeechEncoder:
    """Samples of an utterance to the outputs of a layer (or a weighted sum of layers), one row every `files.hop` samples.

    At most a window is in the network at a time. Recordings are brought to mean 0 and variance 1 as a whole where the encoder
    wants that.

    Raises:
        HdnnError: weights are missing, damaged, or of another network.
    """

    def __init__(self, files: EncoderFiles, options: EncoderOptions, device: torch.device) -> None:
        self.files, self.device = files, device
        self.most = int(options.window * files.rate) // files.hop
        self.shared = int(options.overlap * files.rate) // files.hop
        self.factors = options.weights()
        self.layer = files.layers if options.layer is None else options.layer
        self.network = _load(files)
        self.positions: Tensor | None = None
        if options.pad is not None and files.is_whisper:
            self.silence = int(options.pad * files.rate) // files.hop
            self.positions = self.network.embed_positions.weight.detach().to(device)
        if not self.factors and self.layer < files.layers:
            # What the next layer takes is the output; the last layer's has been normalised, which is no part of this one's.
            del (self.network if files.is_whisper else self.network.encoder).layers[self.layer + 1 :]
        self.network.to(device)

    def num_rows(self, samples: int) -> int:
        """Rows of an utterance."""
        return max(0, (samples - self.files.field) // self.files.hop + 1)

    def __call__(self, samples: np.ndarray, rate: int, utt: str = "") -> np.ndarray:
        """Features of one utterance, (rows, D) float32.

        Args:
            samples: (n,) float32 in the range of 16-bit integers.
            rate: samples a second; must be the encoder's.
            utt: for messages.

        Raises:
            HdnnError: another rate, or NaN or infinity in the outputs.
        """
        if rate != self.files.rate:
            raise HdnnError(
                f"utterance {utt}: sample rate {rate}, but {self.files.folder} takes {self.files.rate}; resample in wav.scp "
                f"(sox ... -r {self.files.rate} ... |)"
            )
        samples = samples / np.float32(_FULL_SCALE)
        if getattr(self.files.extractor, "do_normalize", False) and not self.files.is_whisper:
            samples = (
                (samples - samples.mean(dtype=np.float64)) / np.sqrt(samples.var(dtype=np.float64) + 1e-7)
            ).astype(np.float32)
        hop, after = self.files.hop, max(0, self.files.field - self.files.hop)
        parts = []
        for window in windows(self.num_rows(len(samples)), self.most, self.shared):
            outputs = self._encode(samples[window.first * hop : window.last * hop + after])
            parts.append(outputs[window.begin - window.first : window.end - window.first])
        features = torch.cat(parts).numpy() if parts else np.empty((0, self.network.config.hidden_size), np.float32)
        if not np.isfinite(features).all():
            raise HdnnError(f"{self.files.folder} gives NaN or infinity for utterance {utt}")
        return features

    @torch.no_grad()
    def _encode(self, samples: np.ndarray) -> Tensor:
        """(n,) samples of a window to (rows, D) on the CPU."""
        rows = self.num_rows(len(samples))
        if self.files.is_whisper:
            inputs = self.files.extractor(samples, sampling_rate=self.files.rate, return_tensors="pt").input_features
            if self.positions is not None:
                inputs = self._shorten(inputs, rows + self.silence)
        else:
            inputs = torch.from_numpy(samples)[None]
        hidden = self.network(inputs.to(self.device), output_hidden_states=True).hidden_states
        if self.factors:
            outputs = sum(factor * layer for factor, layer in zip(self.factors, hidden, strict=True))
        else:
            outputs = hidden[self.layer]
        return outputs[0, :rows].float().cpu()

    def _shorten(self, inputs: Tensor, rows: int) -> Tensor:
        """(1, bands, frames) of Whisper's input cut to `rows` of its rows at most, and the network made ready for that many.

        It was trained on 30 s, silence included, and takes nothing else by itself.
        """
        assert self.positions is not None
        rows = min(rows, len(self.positions))
        self.network.config.max_source_positions = rows
        self.network.embed_positions = torch.nn.Embedding.from_pretrained(self.positions[:rows])
        return inputs[..., : rows * inputs.shape[-1] // len(self.positions)]


def _load(files: EncoderFiles) -> Any:
    """The network, up to its last hidden layer, in float32 and evaluation mode."""
    try:
        model, said = transformers().AutoModel.from_pretrained(
            files.folder, config=files.config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # it raises what its parts raise
        raise HdnnError(f"{files.folder}: transformers cannot load it ({one_line(error)})") from error
    part = "encoder." if files.is_whisper else ""
    missing = sorted(name for name in said["missing_keys"] if name.startswith(part) and not name.endswith(_UNUSED))
    odd = [str(name) for name in said.get("mismatched_keys", ())]
    if missing or odd:  # transformers would draw them at random
        raise HdnnError(
            f"{files.folder}: its weights lack {len(missing)} parameters of the encoder, {len(odd)} have another shape, such as "
            f"{(missing + odd)[0]}; copy the folder again"
        )
    return (model.encoder if files.is_whisper else model).float().eval()
