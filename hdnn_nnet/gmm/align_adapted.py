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
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.affine import apply_transform, write_transforms
from hdnn_nnet.gmm.aligner import GmmAligner
from hdnn_nnet.gmm.features import GmmFeatures
from hdnn_nnet.gmm.fmllr import FmllrResult, FmllrStatistics, add_utterances, estimate_fmllr
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.posteriors import alignment_labels
from hdnn_nnet.kaldi.alignments import read_alignments, write_alignments
from hdnn_nnet.kaldi.copies import read_originals, stand_ins
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
        self,
        name: str,
        words: Mapping[str, Sequence[int]],
        features: Mapping[str, np.ndarray],
        known: Mapping[str, np.ndarray],
    ) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
        """The speaker's transform (D, D + 1), and the alignments of the utterances of `words`; None where it fails.

        Args:
            words: utterance -> word numbers.
            features: utterance -> speaker-independent features (T, D).
            known: utterance -> transition-ids (T,), of utterances that are aligned already.
        """
        graphs = {u: self._compiler.compile(w, u) for u, w in words.items() if u not in known}
        utterances = []
        for utterance in words:
            path = known.get(utterance)
            if path is None:
                path = self._align(0, utterance, graphs[utterance], features[utterance])
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
            u: known[u] if u in known else self._align(1, u, graphs[u], apply_transform(transform, features[u]))
            for u in words
        }

    def _align(self, number: int, utterance: str, graph: Any, features: np.ndarray) -> np.ndarray | None:
        return None if graph is None else self._aligners[number].align_features(utterance, graph, features)


def copied_alignments(
    features: GmmFeatures, utterances: Sequence[str], originals_ali: Path, transition_model: TransitionModel
) -> dict[str, np.ndarray]:
    """Copy -> alignment of its original, for those of `utterances` that are copies as long as the original.

    What noise or reverberation was added to may no longer align, and need not: the original's states are known.

    Args:
        originals_ali: alignment directory of the originals by the model that `transition_model` is of.

    Raises:
        HdnnError: the directory is another model's.
    """
    if TransitionModel.read(originals_ali / "final.mdl").pdf_signature() != transition_model.pdf_signature():
        raise HdnnError(f"{originals_ali}/final.mdl is not the model that aligns now; align the originals by it first")
    originals = read_originals(features.data_dir)
    alignments = read_alignments(originals_ali)
    frames = {u: features.num_frames[u] for u in utterances if u in features}
    taken = stand_ins(frames, {u: len(path) for u, path in alignments.items()}, originals)
    return {u: alignments[source] for u, source in taken.items()}


def align_adapted_job(
    job: int,
    aligner: AdaptedAligner,
    features: GmmFeatures,
    speakers: Mapping[str, Sequence[str]],
    lang: Path,
    texts: Mapping[str, str],
    known: Mapping[str, np.ndarray],
    target: Path,
) -> None:
    """Write `target`/ali.JOB.gz, trans.JOB and unaligned.JOB of these speakers.

    Args:
        features: speaker-independent.
        speakers: speaker -> utterances.
        texts: utterance -> words.
        known: as of `copied_alignments`.
    """
    transcripts = Transcripts(lang)
    known = {utterance: path for utterance, path in known.items() if utterance in texts}
    failed: list[str] = []
    transforms: dict[str, np.ndarray] = {}

    def alignments() -> Iterator[tuple[str, np.ndarray]]:
        for speaker, utterances in counted(speakers.items(), "speakers", len(speakers)):
            words = {u: transcripts.numbers(texts[u]) for u in utterances if u in texts and u in features}
            failed.extend(u for u in utterances if u in features and u not in words)
            matrices = {utterance: features.independent(utterance) for utterance in words}
            transforms[speaker], paths = aligner.speaker(speaker, words, matrices, known)
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
        "%d utterances aligned, %d retried, %d failed, %d copies with the alignments of their originals, %d unknown words",
        done - len(known), aligner.retried, len(failed), len(known), transcripts.unknown,
    )  # fmt: skip
