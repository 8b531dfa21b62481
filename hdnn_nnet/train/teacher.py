"""Teachers that are run during training, or once to store what they say."""

import copy
import logging
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.device.precision import choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.posteriors import PosteriorWriter
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.model_dir import Network, load_network, read_option_file, require_frame_rate
from hdnn_nnet.progress import counted
from hdnn_nnet.train.columns import Windows
from hdnn_nnet.train.soft_labels import ensemble, sparsify

log = logging.getLogger(__name__)


def checksum(directory: str | os.PathLike[str]) -> int:
    """Checksum of a model directory's weights: ours, or the network and feature transform of nnet1."""
    value, found = 0, False
    names = ("final.safetensors", "final.nnet", "final.feature_transform")
    for path in (Path(directory) / name for name in names):
        if path.is_file():
            found = True
            value = zlib.crc32(path.read_bytes(), value)
    if not found:
        raise HdnnError(f"{directory} holds neither final.safetensors nor final.nnet; it is no model directory")
    return value


class Teachers:
    """One or more networks whose posteriors are averaged (arithmetically, at temperature 1).

    Args:
        directories: model directories of ours or of Kaldi's nnet1; each reads its features with its own CMVN and deltas.
        data_dirs: where the features are; `None`: nothing is read by `windows`.

    Attributes:
        num_pdfs: outputs S of all of them.
    """

    def __init__(
        self, directories: Sequence[str], data_dirs: Sequence[str] | None, device: torch.device, precision: str = "auto"
    ) -> None:
        self.directories = [Path(d) for d in directories]
        self.networks: list[Network] = []
        self.sources: list[FeatureSource] = []
        self.normalisers: list[Network] = []
        for directory in self.directories:
            network = load_network(directory)
            # What reads ahead does not wait for a GPU that the student keeps busy.
            self.normalisers.append(network if device.type == "cpu" else copy.deepcopy(network))
            network = network.to(device)
            network.compute_dtype = choose_dtype(precision, device)
            if self.networks and network.num_pdfs != self.networks[0].num_pdfs:
                raise HdnnError(
                    f"{directory} has {network.num_pdfs} pdfs, {self.directories[0]} {self.networks[0].num_pdfs}; "
                    "teachers that are averaged must share one tree"
                )
            self.networks.append(network)
            if data_dirs is not None:
                source = FeatureSource(
                    data_dirs,
                    read_option_file(directory / "cmvn_opts"),
                    read_option_file(directory / "delta_opts"),
                    directory,
                )
                require_frame_rate(directory, source.readers[0])
                if source.dim != network.feat_dim:
                    raise HdnnError(
                        f"{data_dirs[0]} has {source.dim} features a frame, the teacher {directory} takes {network.feat_dim}; "
                        "give the data directory with the teacher's features"
                    )
                self.sources.append(source)
        # Features of other rates take their lengths from those whose rows are frames, or else from the first.
        lengths = min(self.sources, key=lambda source: source.frame_factor).num_frames() if self.sources else {}
        self.fit(lengths)

    @property
    def num_pdfs(self) -> int:
        return self.networks[0].num_pdfs

    def signature(self) -> list[int]:
        return [checksum(d) for d in self.directories]

    @property
    def frame_tolerance(self) -> int:
        """Frames that the ends of their features may be off by where nothing but the rows tells the length."""
        return max((reader.rate.tolerance for source in self.sources for reader in source.readers), default=0)

    def fit(self, frames: Mapping[str, int]) -> None:
        """Take the lengths of the student's features, labels or alignments, as far as the features' tolerance goes."""
        for source in self.sources:
            source.fit(frames)

    def num_frames(self) -> dict[str, int]:
        """Utterance -> frames of those that every teacher has features of."""
        lengths = [source.num_frames() for source in self.sources]
        return {utt: n for utt, n in lengths[0].items() if all(other.get(utt) == n for other in lengths[1:])}

    @torch.no_grad()
    def windows(self, utt: str) -> tuple[Windows, ...]:
        """The features of one utterance as each teacher splices them."""
        result = []
        for network, source in zip(self.normalisers, self.sources, strict=True):
            features = network.normalise(torch.from_numpy(source[utt])).numpy()
            result.append(Windows(features, network.left_context, network.right_context))
        return tuple(result)

    @torch.no_grad()
    def of_utterance(self, utt: str) -> Tensor:
        """(T, S) log-posteriors of one utterance, on the CPU.

        Raises:
            HdnnError: NaN or infinity in them.
        """
        pairs = zip(self.networks, self.sources, strict=True)
        windows = [network.windows(torch.from_numpy(source[utt]).to(network.device)) for network, source in pairs]
        values = self.log_posteriors(windows).cpu()
        if not torch.isfinite(values).all():
            raise HdnnError(f"a teacher gives NaN or infinity for utterance {utt}")
        return values

    @torch.no_grad()
    def log_posteriors(self, windows: Sequence[Tensor]) -> Tensor:
        """Spliced frames (N, window * D) of each teacher to (N, S) log-posteriors at temperature 1."""
        logits = [network.logits(w) for network, w in zip(self.networks, windows, strict=True)]
        return ensemble([torch.log_softmax(z, 1) for z in logits])


def store_soft_labels(
    teachers: Teachers, wspecifier: str, mass: float, temperature: float, form: str
) -> dict[str, Any]:
    """Forward teachers over their data and write the pdfs that hold `mass` at `temperature`; gives sizes and masses.

    Args:
        form: of kaldi.options.FORMS.

    Raises:
        HdnnError: no utterances, or NaN or infinity in a teacher's outputs.
    """
    entries = 0
    masses: list[np.ndarray] = []
    checksums: dict[str, str] = {}
    started = time.monotonic()
    with PosteriorWriter(wspecifier, form) as writer:
        utterances = teachers.num_frames()
        for utt in counted(utterances, "utterances", len(utterances)):
            posteriors, kept = sparsify(teachers.of_utterance(utt), mass, temperature)
            stored = writer.write_posteriors(utt, posteriors)
            entries += len(posteriors.pdfs)
            if not writer.text:  # which rounds
                checksums[utt] = stored.checksum()
            masses.append(kept.numpy())
    if not masses:
        raise HdnnError(
            f"{teachers.sources[0].readers[0].data_dir} holds no utterances with features for every teacher"
        )
    model = Path(teachers.directories[0]) / "final.mdl"
    held, seconds = np.concatenate(masses), time.monotonic() - started
    log.info(
        "Done %d utterances, %d frames in %.1f s (%.0f frames/s); %.1f pdfs a frame hold a mass of %.4f",
        len(masses), len(held), seconds, len(held) / seconds, entries / len(held), held.mean(),
    )  # fmt: skip
    return {
        "utterances": len(masses),
        "frames": len(held),
        "entries": entries,
        "mass_sum": float(held.sum()),
        "mass_min": float(held.min()),
        "num_pdfs": teachers.num_pdfs,
        "pdfs": TransitionModel.read(model).pdf_signature() if model.is_file() else None,
        "mass": mass,
        "temperature": temperature,
        "form": form,
        "frame_tolerance": teachers.frame_tolerance,
        "checksums": checksums,
        "teachers": {str(d): c for d, c in zip(teachers.directories, teachers.signature(), strict=True)},
    }
