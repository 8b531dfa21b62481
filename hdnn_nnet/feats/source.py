"""Features of several data directories as one."""

import functools
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import require_same_features
from hdnn_nnet.feats.reader import FeatureReader


class FeatureSource:
    """Features of several data directories as one: `source[utterance]` is float32 (T, D).

    Args:
        model_dir: a model that takes them; its `feat_opts` must be theirs.
    """

    def __init__(
        self, data_dirs: Sequence[str], cmvn_opts: str, delta_opts: str, model_dir: str | os.PathLike[str] | None = None
    ) -> None:
        require_same_features(*([] if model_dir is None else [model_dir]), *data_dirs)
        self.readers = [FeatureReader(d, cmvn_opts, delta_opts) for d in data_dirs]
        self.dim = self.readers[0].dim
        self.frame_factor = self.readers[0].rate.factor
        self._reader: dict[str, FeatureReader] = {}
        for reader in self.readers:
            if reader.dim != self.dim:
                raise HdnnError(
                    f"{reader.data_dir} has {reader.dim} features a frame, {self.readers[0].data_dir} {self.dim}; "
                    "extract both with the same settings"
                )
            shared = self._reader.keys() & set(reader.utts)
            if shared:
                raise HdnnError(
                    f"{reader.data_dir}: utterance {min(shared)} is also in another data directory; remove one"
                )
            self._reader |= dict.fromkeys(reader.utts, reader)

    def __contains__(self, utt: str) -> bool:
        return utt in self._reader

    def __getitem__(self, utt: str) -> np.ndarray:
        if utt not in self._reader:
            raise HdnnError(f"{self.readers[0].table.path}: utterance {utt} is missing")
        return self._reader[utt][utt]

    def num_frames(self) -> dict[str, int]:
        return {utt: frames for reader in self.readers for utt, frames in reader.num_frames.items()}

    @property
    def same_rate(self) -> bool:
        """Rows are frames, to the last one."""
        return all(reader.rate.same for reader in self.readers)

    def fit(self, frames: Mapping[str, int]) -> None:
        """Take the lengths of what these features meet, see FeatureReader.fit."""
        for reader in self.readers:
            reader.fit(frames)

    def digest(self, utts: Iterable[str]) -> int:
        """Checksum of the features of some twenty of the utterances, normalised as in training."""
        names = list(utts)
        return functools.reduce(lambda c, u: zlib.crc32(self[u].tobytes(), c), names[:: max(1, len(names) // 20)], 0)
