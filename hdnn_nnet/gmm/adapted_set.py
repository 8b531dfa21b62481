"""A worker's share of utterances whose features change in training: LDA, MLLT and speaker transforms."""

from collections.abc import Sequence

import numpy as np

from hdnn_nnet.feats.affine import apply_transform, compose_transforms
from hdnn_nnet.gmm.em import Statistics, block_frames
from hdnn_nnet.gmm.features import GmmFeatures, compose_speakers
from hdnn_nnet.gmm.fmllr import (
    MIN_COUNT,
    SPEAKERS_AT_ONCE,
    FmllrResult,
    FmllrStatistics,
    add_utterances,
    estimate_fmllr,
)
from hdnn_nnet.gmm.lda import LdaStatistics
from hdnn_nnet.gmm.mllt import MlltAccumulator, MlltStatistics
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.posteriors import FrameLabels, alignment_labels, silence_weighted
from hdnn_nnet.gmm.team import PassResult, UtteranceSet, blocks
from hdnn_nnet.gmm.two_models import accumulate_two
from hdnn_nnet.kaldi.transitions import TransitionModel


class AdaptedSet(UtteranceSet):
    """Keeps speaker-independent features in its cache and applies the speakers' transforms when they are asked for.

    All utterances of a speaker must be in one share.
    """

    reader: GmmFeatures

    def independent(self, utterance: str) -> np.ndarray:
        """Speaker-independent features, float32, shape (T, D)."""
        return self._cache.get(utterance, self.reader.independent)

    def features(self, utterance: str) -> np.ndarray:
        """Adapted features, float32, shape (T, D)."""
        return self.reader.adapt(utterance, self.independent(utterance))

    def apply_matrix(self, matrix: np.ndarray) -> None:
        """From now on transform the features by `matrix` (D', D), on top of the matrix before."""
        before = self.reader.matrix
        self.reader = self.reader.with_matrix(matrix if before is None else compose_transforms(matrix, before))
        if before is None:
            self._cache.clear()  # the wide spliced features need not stay
        else:
            self._cache.change(lambda features: apply_transform(matrix, features))

    def labels(
        self, utterance: str, transition_model: TransitionModel, silence: Sequence[int], weight: float
    ) -> FrameLabels:
        """The pdfs of an aligned utterance, silence phones weighted."""
        return alignment_labels(self.alignments[utterance], transition_model, silence, weight)[0]

    def accumulate_lda(self, transition_model: TransitionModel, silence: Sequence[int]) -> LdaStatistics:
        """Statistics of the features as they are, without silence; the classes are pdfs."""
        statistics = LdaStatistics.zeros(transition_model.num_pdfs, self.reader.dim)
        # Not through the cache: spliced features are wide and needed once.
        for block in blocks(self.alignments):
            ids = np.concatenate([self.alignments[u] for u in block])
            weights = silence_weighted(transition_model.tid_to_phone[ids], silence, 0.0)
            features = np.concatenate([self.reader[utterance] for utterance in block])
            statistics.accumulate(features, transition_model.tid_to_pdf[ids], weights)
        return statistics

    def accumulate_mllt(
        self, transition_model: TransitionModel, gmms: DiagGmms, silence: Sequence[int], rand_prune: float, seed: int
    ) -> MlltStatistics:
        """Statistics without silence; posteriors are pruned at random as MlltAccumulator says."""
        accumulator = MlltAccumulator(gmms, rand_prune, seed)
        for block in blocks(self.alignments, block_frames(gmms.num_pdfs)):
            features = np.concatenate([self.features(utterance) for utterance in block])
            parts = [(self.labels(u, transition_model, silence, 0.0), len(self.alignments[u])) for u in block]
            accumulator.accumulate(features, FrameLabels.joined(parts))
        return accumulator.statistics()

    def estimate_fmllr(
        self,
        transition_model: TransitionModel,
        gmms: DiagGmms,
        silence: Sequence[int],
        silence_weight: float,
        min_count: float = MIN_COUNT,
    ) -> FmllrResult:
        """Estimate transforms on top of those in use, and take them into use."""
        speakers: dict[str, dict[str, np.ndarray]] = {self.reader.utt2spk[utterance]: {} for utterance in self.words}
        for utterance, ids in self.alignments.items():
            speakers[self.reader.utt2spk[utterance]][utterance] = ids
        result = FmllrResult.empty()
        for begin in range(0, len(speakers), SPEAKERS_AT_ONCE):
            names = list(speakers)[begin : begin + SPEAKERS_AT_ONCE]
            statistics = {name: FmllrStatistics.zeros(gmms.dim) for name in names}
            aligned = {u: ids for name in names for u, ids in speakers[name].items()}
            for block in blocks(aligned, block_frames(gmms.num_pdfs)):
                add_utterances(
                    statistics, gmms,
                    [
                        (
                            self.reader.utt2spk[u], self.features(u),
                            self.labels(u, transition_model, silence, silence_weight),
                        )
                        for u in block
                    ],
                )  # fmt: skip
            result.add(estimate_fmllr(statistics, min_count))
        self.reader = self.reader.with_transforms(compose_speakers(result.transforms, self.reader.transforms))
        return result

    def get_transforms(self) -> dict[str, np.ndarray]:
        """Transforms of the speakers of this share."""
        transforms = self.reader.transforms or {}
        return {s: transforms[s] for s in dict.fromkeys(self.reader.utt2spk[u] for u in self.words)}

    def accumulate_two(self, transition_model: TransitionModel, gmms: DiagGmms) -> PassResult:
        """Statistics of the speaker-independent features with the posteriors of the adapted ones."""
        statistics = Statistics.zeros(gmms, transition_model)
        for block in blocks(self.alignments, block_frames(gmms.num_pdfs)):
            adapted = np.concatenate([self.features(utterance) for utterance in block])
            independent = np.concatenate([self.independent(utterance) for utterance in block])
            ids = np.concatenate([self.alignments[utterance] for utterance in block])
            accumulate_two(statistics, gmms, transition_model, adapted, independent, ids)
        return PassResult(statistics)
