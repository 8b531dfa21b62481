"""Words from audio by a network, and our decoder."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.extract import FeatureExtractor, FeatureStream
from hdnn_nnet.kaldi.fst import Fst
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.best_path import best_paths
from hdnn_nnet.nn.streaming import ContextStream
from hdnn_nnet.runtime.options import Pauses, Search


@dataclass(frozen=True)
class Piece:
    """A stretch of speech and its words; times in seconds."""

    start: float
    end: float
    words: list[str]


class Recogniser(Protocol):
    """Something that hears audio and gives words."""

    #: samples a second that it wants
    rate: int

    def utterance(self, samples: np.ndarray) -> list[str]:
        """The words of one utterance, (n,) int16, searched as a whole."""
        ...

    def pieces(self, chunks: Iterable[np.ndarray]) -> Iterator[Piece]:
        """The words of audio of any length, cut at pauses, as soon as each piece is over."""
        ...


@dataclass(frozen=True)
class Scoring:
    """How words are chosen from a lattice: `lm_weight` and `penalty` as in local/score.sh."""

    lm_weight: float = 10.0
    penalty: float = 0.0


class K2Recogniser:
    """Features, a network and our decoder (k2 where it is installed).

    Args:
        stream: starts a stream of log-likelihoods for an utterance.
        prepare: what is done to the features of a whole recording before the network, such as normalisation by
            speaker; None for networks that read features as they are.
        silence: phones whose pdfs mean silence, to cut at; none: cuts come after `longest` seconds only.
    """

    def __init__(
        self,
        stream: Callable[[], ContextStream],
        features: FeatureExtractor,
        graph: Fst,
        transitions: TransitionModel,
        words: SymbolTable,
        silence: Iterable[int],
        *,
        prepare: Callable[[np.ndarray], np.ndarray] | None = None,
        scoring: Scoring | None = None,
        pauses: Pauses | None = None,
        search: Search | None = None,
    ) -> None:
        from hdnn_nnet.decode.decoder import Decoder  # k2 is heavy to import

        self.stream = stream
        self.features = features
        self.rate = int(features.rate)
        self.prepare = prepare
        self.words = words
        self.scoring = scoring or Scoring()
        self.pauses = pauses or Pauses()
        given = search or Search()
        options = SearchOptions(beam=given.beam, lattice_beam=given.lattice_beam, max_active=given.max_active)
        self.decoder = Decoder(graph, transitions.tid_to_pdf, options)
        quiet = np.isin(transitions.tid_to_phone, list(silence))
        self.silence = np.zeros(transitions.num_pdfs, bool)
        self.silence[transitions.tid_to_pdf[quiet]] = True

    def utterance(self, samples: np.ndarray) -> list[str]:
        """See Recogniser; audio too short for a frame has no words."""
        frames = self.features(samples.astype(np.float32), self.rate)
        if not len(frames):
            return []
        if self.prepare is not None:
            frames = self.prepare(frames)
        network = self.stream()
        return self._decode(np.concatenate([network.accept(frames), network.finish()]))

    def pieces(self, chunks: Iterable[np.ndarray]) -> Iterator[Piece]:
        """See Recogniser. With `prepare`, all of the audio is read first."""
        cutter = _Cutter(self.silence, self.pauses, self.features.frame_shift)
        for rows in self._rows(chunks):
            cutter.add(rows)
            while (piece := cutter.next_piece(final=False)) is not None:
                yield self._piece(*piece)
        while (piece := cutter.next_piece(final=True)) is not None:
            yield self._piece(*piece)

    def _rows(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Log-likelihoods as they come."""
        network, features = self.stream(), FeatureStream(self.features)
        if self.prepare is None:
            for chunk in chunks:
                yield network.accept(features.accept(chunk.astype(np.float32)))
            yield network.accept(features.finish())
        else:
            parts = [features.accept(chunk.astype(np.float32)) for chunk in chunks]
            whole = np.concatenate([*parts, features.finish()])
            if len(whole):
                yield network.accept(self.prepare(whole))
        yield network.finish()

    def _piece(self, first: int, rows: np.ndarray) -> Piece:
        shift = self.features.frame_shift
        return Piece(first * shift, (first + len(rows)) * shift, self._decode(rows))

    def _decode(self, rows: np.ndarray) -> list[str]:
        if rows.shape[1] != self.decoder.num_pdfs:
            raise HdnnError(
                f"the network gives {rows.shape[1]} log-likelihoods a frame, the transition model has "
                f"{self.decoder.num_pdfs} pdfs; they do not belong together"
            )
        lattice = self.decoder.decode([rows])[0].lattice
        if lattice is None:
            return []
        scale, penalty = np.array([1 / self.scoring.lm_weight]), np.array([self.scoring.penalty])
        return [self.words.symbol(w) for w in best_paths(lattice, scale, penalty)[0].words.tolist()]


class _Cutter:
    """Collects log-likelihoods and cuts them at pauses."""

    def __init__(self, silence: np.ndarray, pauses: Pauses, frame_shift: float) -> None:
        self.silence = silence
        self.pause, self.shortest, self.longest = (
            max(1, round(s / frame_shift)) for s in (pauses.pause, pauses.shortest, pauses.longest)
        )
        self.first = 0  # frame of the recording that is first here
        self.parts: list[np.ndarray] = []
        self.quiet = np.zeros(0, bool)

    def add(self, rows: np.ndarray) -> None:
        if not len(rows):
            return
        self.parts.append(rows)
        quiet = np.zeros(len(rows), bool)
        if self.silence.any() and not self.silence.all():
            quiet = rows[:, self.silence].max(1) > rows[:, ~self.silence].max(1)
        self.quiet = np.concatenate([self.quiet, quiet])

    def next_piece(self, final: bool) -> tuple[int, np.ndarray] | None:
        """The first frame and the rows of the next piece, if there is one; stretches of nothing but silence are skipped."""
        while len(self.quiet):
            cut = self._cut()
            if cut is None:
                if not final:
                    return None
                cut = len(self.quiet)
            speech = not self.quiet[:cut].all()
            rows = np.concatenate(self.parts)
            first, self.first = self.first, self.first + cut
            self.parts, self.quiet = [rows[cut:]], self.quiet[cut:]
            if speech:
                return first, rows[:cut]
        return None

    def _cut(self) -> int | None:
        """Where to cut, None: not yet."""
        quiet = self.quiet
        # length of the silent stretch that ends at each frame
        index = np.arange(1, len(quiet) + 1)
        run = index - np.maximum.accumulate(np.where(quiet, 0, index))
        ends = np.flatnonzero(run >= self.pause)
        ends = ends[ends >= self.shortest]
        if len(ends):
            return int(ends[0]) + 1 - self.pause // 2
        if len(quiet) >= self.longest:
            silent = np.flatnonzero(quiet[self.shortest : self.longest])
            return self.shortest + int(silent[-1]) + 1 if len(silent) else self.longest
        return None
