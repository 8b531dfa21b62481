"""A network that takes on the parameters of the speaker at hand."""

import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.adapt.store import AdaptDir
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.forward import forward_all
from hdnn_nnet.nn.model_dir import model_signature
from hdnn_nnet.nn.networks import AcousticModel

log = logging.getLogger(__name__)


class SpeakerSwitch:
    """Switches `model` between its independent parameters and those of speakers.

    Attributes:
        adapted, independent: speakers that were asked for, with and without parameters of their own.

    Raises:
        HdnnError: the directory is of another network.
    """

    def __init__(
        self, model: AcousticModel, directory: str | os.PathLike[str], model_dir: str | os.PathLike[str]
    ) -> None:
        self.model = model
        self.store = AdaptDir(directory)
        self.store.check(model_signature(model), Path(model_dir))
        self.parameters = dict(model.named_parameters())
        self.base = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.changed: set[str] = set()
        self.adapted: set[str] = set()
        self.independent: set[str] = set()
        self._load = lru_cache(maxsize=16)(self._read)  # utterances need not come sorted by speaker

    def _read(self, speaker: str) -> dict[str, Tensor] | None:
        tensors = self.store.load(speaker)
        for name, value in (tensors or {}).items():
            if name not in self.parameters or value.shape != self.parameters[name].shape:
                raise HdnnError(f"{self.store.path}: {name} of speaker {speaker} does not fit the network; adapt again")
        return tensors

    @torch.no_grad()
    def use(self, speaker: str) -> None:
        """Put a speaker's parameters into the network, or the independent ones where they have none; both are counted."""
        tensors = self._load(speaker)
        for name in self.changed:
            self.parameters[name].copy_(self.base[name])
        self.changed = set(tensors or ())
        for name, value in (tensors or {}).items():
            self.parameters[name].copy_(value)
        if tensors is not None:
            self.adapted.add(speaker)
        elif speaker not in self.independent:
            self.independent.add(speaker)
            log.info("speaker %s uses the independent parameters: %s", speaker, self.store.reason(speaker))


def forward_adapted(
    switch: SpeakerSwitch,
    utterances: Iterable[tuple[str, np.ndarray]],
    utt2spk: Mapping[str, str],
    output: str,
    log_prior: torch.Tensor | None,
    batch_frames: int,
) -> Iterator[tuple[str, np.ndarray]]:
    """As `forward_all`, with the parameters of each utterance's speaker.

    Raises:
        HdnnError: also for an utterance that is not in `utt2spk`.
    """

    def speaker_of(item: tuple[str, np.ndarray]) -> str:
        if item[0] not in utt2spk:
            raise HdnnError(f"utt2spk has no utterance {item[0]}, so its speaker's parameters cannot be found; add it")
        return utt2spk[item[0]]

    for speaker, items in itertools.groupby(utterances, key=speaker_of):
        switch.use(speaker)
        yield from forward_all(switch.model, items, output, log_prior, batch_frames)
