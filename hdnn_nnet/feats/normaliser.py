"""Normalisation by speaker and deltas, as a model's cmvn_opts and delta_opts ask for them."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.transforms import Cmvn, Deltas
from hdnn_nnet.kaldi.matrix_table import MatrixTable


class Normaliser:
    """Features of an utterance to what a network reads.

    Args:
        stats: CMVN statistics by speaker; needed where `cmvn` is not None.
        utt2spk: utterance -> speaker; one that it lacks is a speaker of its own.
    """

    def __init__(
        self, cmvn: Cmvn | None, deltas: Deltas | None, stats: MatrixTable | None, utt2spk: Mapping[str, str]
    ) -> None:
        self.cmvn, self.deltas, self.stats, self.utt2spk = cmvn, deltas, stats, utt2spk
        self._norms: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}

    def _norm(self, speaker: str) -> tuple[np.ndarray, np.ndarray | None]:
        norm = self._norms.get(speaker)
        if norm is None:
            assert self.cmvn is not None
            assert self.stats is not None
            norm = self.cmvn.offset_and_scale(self.stats[speaker], f"{self.stats.path}, speaker {speaker}")
            self._norms[speaker] = norm
        return norm

    def __call__(self, utterance: str, features: np.ndarray, where: object) -> np.ndarray:
        """(T, D) float32 to (T, D) or, with deltas, (T, D * (order + 1)).

        Args:
            where: names the features in errors.

        Raises:
            HdnnError: a speaker without statistics, or statistics of another dimension.
        """
        if self.cmvn is not None:
            speaker = self.utt2spk.get(utterance, utterance)
            offset, scale = self._norm(speaker)
            if len(offset) != features.shape[1]:
                raise HdnnError(
                    f"{where}: utterance {utterance} has {features.shape[1]} dimensions, the CMVN statistics "
                    f"of speaker {speaker} have {len(offset)}; compute them again"
                )
            features = features + offset if scale is None else features * scale + offset
        return self.deltas.apply(features) if self.deltas is not None else features

    def all(self, utterances: Iterable[tuple[str, np.ndarray]], where: object) -> Iterator[tuple[str, np.ndarray]]:
        """Normalised utterances, one after the other."""
        return ((utterance, self(utterance, features, where)) for utterance, features in utterances)
