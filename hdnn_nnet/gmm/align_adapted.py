"""Alignment by a speaker-adapted system in two passes, by the rules of Kaldi's steps/align_fmllr.sh.

The alignment model aligns speaker-independent features; from that come the speakers' transforms; the final model aligns the
adapted features. Speakers are worked on one after the other, so that memory does not grow with the data.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdnn_nnet.align.aligner import GraphCompiler
from hdnn_nnet.align.options import AlignJobOptions
from hdnn_nnet.atomic import write_text
from hdnn_nnet.feats.affine import apply_transform, write_transforms
from hdnn_nnet.gmm.aligner import GmmAligner
from hdnn_nnet.gmm.features import GmmFeatures
from hdnn_nnet.gmm.fmllr import FmllrResult, FmllrStatistics, add_utterances, estimate_fmllr
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.posteriors import alignment_labels
from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.lang.transcripts import Transcripts
from hdnn_nnet.progress import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pass:
    """A model that aligns.

    Attributes:
        gmms: as trained; statistics come from these.
        boosted: with more weight on silence, for alignment; may be the same.
    """

    transition_model: TransitionModel
    gmms: DiagGmms
    boosted: DiagGmms


class AdaptedAligner:
    """Aligns all utterances of a speaker in two passes.

    Args:
        first: the alignment model. Its Gaussians correspond one by one to those of `final`.
        final: the model of the adapted features.
        silence: phones without weight in the estimation of transforms.
    """

    def __init__(
        self,
        first: Pass,
        final: Pass,
        tree: ContextDependency,
        lang: Path,
        silence: Sequence[int],
        options: AlignJobOptions,
    ) -> None:
        self.first, self.final, self.silence = first, final, silence
        self._compiler = GraphCompiler(final.transition_model, tree, lang)
        self._aligners = [GmmAligner(p.transition_model, tree, p.boosted, options.search) for p in (first, final)]
        self.result = FmllrResult.empty()

    @property
    def retried(self) -> int:
        """Utterances of the second pass that needed the wider beam."""
        return self._aligners[1].retried

    def speaker(
        self, name: str, words: Mapping[str, Sequence[int]], features: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
        """The speaker's transform (D, D + 1), and the alignments of the utterances of `words`; None where it fails.

        Args:
            words: utterance -> word numbers.
            features: utterance -> speaker-independent features (T, D).
        """
        graphs = {u: self._compiler.compile(w, u) for u, w in words.items()}
        utterances = []
        for utterance, graph in graphs.items():
            path = self._align(0, utterance, graph, features[utterance])
            if path is not None:
                labels, _ = alignment_labels(path, self.first.transition_model, self.silence, 0.0)
                utterances.append((name, features[utterance], labels))
        statistics = {name: FmllrStatistics.zeros(self.final.gmms.dim)}
        if utterances:
            add_utterances(statistics, self.final.gmms, utterances, self.first.gmms)
        found = estimate_fmllr(statistics)
        self.result.add(found)
        transform = found.transforms[name]
        return transform, {
            u: self._align(1, u, graph, apply_transform(transform, features[u])) for u, graph in graphs.items()
        }

    def _align(self, number: int, utterance: str, graph: Any, features: np.ndarray) -> np.ndarray | None:
        return None if graph is None else self._aligners[number].align_features(utterance, graph, features)


def align_adapted_job(
    job: int,
    aligner: AdaptedAligner,
    features: GmmFeatures,
    speakers: Mapping[str, Sequence[str]],
    lang: Path,
    texts: Mapping[str, str],
    target: Path,
) -> None:
    """Write `target`/ali.JOB.gz, trans.JOB and unaligned.JOB of these speakers.

    Args:
        features: speaker-independent.
        speakers: speaker -> utterances.
        texts: utterance -> words.
    """
    transcripts = Transcripts(lang)
    failed: list[str] = []
    transforms: dict[str, np.ndarray] = {}

    def alignments() -> Iterator[tuple[str, np.ndarray]]:
        for speaker, utterances in counted(speakers.items(), "speakers", len(speakers)):
            words = {u: transcripts.numbers(texts[u]) for u in utterances if u in texts and u in features}
            failed.extend(u for u in utterances if u in features and u not in words)
            matrices = {utterance: features.independent(utterance) for utterance in words}
            transforms[speaker], paths = aligner.speaker(speaker, words, matrices)
            for utterance, path in paths.items():
                if path is None:
                    failed.append(utterance)
                else:
                    yield utterance, path

    done = write_alignments(target / f"ali.{job}.gz", alignments())
    write_transforms(target / f"trans.{job}", transforms)
    write_text(target / f"unaligned.{job}", "".join(f"{utterance}\n" for utterance in failed))
    log.info("%s", aligner.result.summary())
    log.info(
        "%d utterances aligned, %d retried, %d failed, %d unknown words",
        done, aligner.retried, len(failed), transcripts.unknown,
    )  # fmt: skip
