"""Words from audio by a network, and our decoder."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hdnn_nnet.decode.decoder import Decoder
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.extract import FeatureExtractor, FeatureStream
from hdnn_nnet.kaldi.fst import Fst
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.best_path import best_paths, path_alignment
from hdnn_nnet.nn.streaming import ContextStream
from hdnn_nnet.runtime.options import Pauses, Search
from hdnn_nnet.score.ctm import phone_segments, spread, word_segments


@dataclass(frozen=True)
class Word:
    """A word; times in seconds from the beginning of the audio, confidence from 0 to 1, None where nobody asked for it."""

    text: str
    start: float
    end: float
    confidence: float | None = None


@dataclass(frozen=True)
class Piece:
    """A stretch of speech and its words; times in seconds."""

    start: float
    end: float
    timed: list[Word]

    @property
    def words(self) -> list[str]:
        return [word.text for word in self.timed]


class Recogniser(Protocol):
    """Something that hears audio and gives words."""

    #: samples a second that it wants
    rate: int

    def utterance(self, samples: np.ndarray) -> list[str]:
        """The words of one utterance, (n,) int16, searched as a whole."""
        ...

    def pieces(self, chunks: Iterable[np.ndarray], confidences: bool = False) -> Iterator[Piece]:
        """The words of audio of any length, cut at pauses, as soon as each piece is over. Digital silence has none.

        Args:
            confidences: of words are wanted; they take time.
        """
        ...


@dataclass(frozen=True)
class Scoring:
    """How words are chosen from a lattice: `lm_weight` and `penalty` as in local/score.sh."""

    lm_weight: float = 10.0
    penalty: float = 0.0


class LatticeRecogniser:
    """Features, a network and our decoder.

    Args:
        stream: starts a stream of log-likelihoods for an utterance.
        prepare: what is done to the features of a whole recording before the network, such as normalisation by
            speaker, which is told the frames with sound, (frames,) bool; None for networks that read features as they are.
        silence: phones whose pdfs mean silence, to cut at; none: cuts come after `longest` seconds only.
        boundary: each phone's place in words, for the times of words; without it words share the time equally.
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
        prepare: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        scoring: Scoring | None = None,
        pauses: Pauses | None = None,
        search: Search | None = None,
        boundary: Mapping[int, str] | None = None,
    ) -> None:
        self.stream = stream
        self.features = features
        self.rate = int(features.rate)
        self.prepare = prepare
        self.words = words
        self.scoring = scoring or Scoring()
        self.pauses = pauses or Pauses()
        given = search or Search()
        options = SearchOptions(
            beam=given.beam, lattice_beam=given.lattice_beam, max_active=given.max_active, search=given.search
        )
        self.decoder = Decoder(graph, transitions.tid_to_pdf, options)
        quiet = np.isin(transitions.tid_to_phone, list(silence))
        self.silence = np.zeros(transitions.num_pdfs, bool)
        self.silence[transitions.tid_to_pdf[quiet]] = True
        self.transitions, self.boundary = transitions, boundary or {}

    def utterance(self, samples: np.ndarray) -> list[str]:
        """See Recogniser; audio too short for a frame has no words."""
        frames = self.features(samples.astype(np.float32), self.rate)
        if not len(frames) or not is_sound(samples).any():
            return []
        if self.prepare is not None:
            frames = self.prepare(frames, np.ones(len(frames), bool))
        network = self.stream()
        rows = np.concatenate([network.accept(frames), network.finish()])
        return [word.text for word in self._decode(rows, 0, False)]

    def pieces(self, chunks: Iterable[np.ndarray], confidences: bool = False) -> Iterator[Piece]:
        """See Recogniser. With `prepare`, all of the audio is read first."""
        cutter = _Cutter(self.silence, self.pauses, self.features.frame_shift)
        sound = _Sound(round(self.features.frame_shift * self.rate))
        for rows in self._rows(sound.listen(chunks), sound):
            cutter.add(rows, sound.pop(len(rows)))
            while (piece := cutter.next_piece(final=False)) is not None:
                yield self._piece(*piece, confidences)
        while (piece := cutter.next_piece(final=True)) is not None:
            yield self._piece(*piece, confidences)

    def _rows(self, chunks: Iterable[np.ndarray], sound: "_Sound") -> Iterator[np.ndarray]:
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
                yield network.accept(self.prepare(whole, ~sound.silent(len(whole))))
        yield network.finish()

    def _piece(self, first: int, rows: np.ndarray, confidences: bool) -> Piece:
        shift = self.features.frame_shift
        return Piece(first * shift, (first + len(rows)) * shift, self._decode(rows, first, confidences))

    def _decode(self, rows: np.ndarray, first: int, confidences: bool) -> list[Word]:
        """The words of log-likelihoods, (frames, pdfs), of which the first are of frame `first` of the audio."""
        if rows.shape[1] != self.decoder.num_pdfs:
            raise HdnnError(
                f"the network gives {rows.shape[1]} log-likelihoods a frame, the transition model has "
                f"{self.decoder.num_pdfs} pdfs; they do not belong together"
            )
        lattice = self.decoder.decode([rows])[0].lattice
        if lattice is None:
            return []
        scale, penalty = 1 / self.scoring.lm_weight, self.scoring.penalty
        path = best_paths(lattice, np.array([scale]), np.array([penalty]))[0]
        alignment = path_alignment(lattice, path)
        times = word_segments(phone_segments(alignment, self.transitions), self.boundary) if self.boundary else []
        if len(times) != len(path.words):
            times = spread(len(path.words), len(alignment))
        sure: list[float | None] = [None] * len(path.words)
        if confidences:
            from hdnn_nnet.sequence.confidence import confidence

            lattice.arcs["graph"] += np.where(lattice.words != 0, penalty, 0).astype(np.float32)
            found = confidence(lattice, self.transitions, scale)
            # A word whose arc has no frames, since the lattice keeps them on others, is as sure as its phones.
            phones = [float(found.phone[time.begin : time.end].mean()) for time in times]
            sure = [p if math.isnan(w) else min(w, 1.0) for w, p in zip(found.word.tolist(), phones, strict=True)]
        shift = self.features.frame_shift
        return [
            Word(self.words.symbol(word), (first + time.begin) * shift, (first + time.end) * shift, value)
            for word, time, value in zip(path.words.tolist(), times, sure, strict=True)
        ]


def is_sound(samples: np.ndarray) -> np.ndarray:
    """Which int16 samples are more than digital silence: more than the last bit, which dither moves."""
    return np.abs(samples.astype(np.int32)) > 1


class _Sound:
    """Which frames of the audio that goes by are digital silence; a network has never heard such, and may hear words in it."""

    #: shifts under the window of a frame
    _SHIFTS = 3

    def __init__(self, shift: int) -> None:
        self.shift = shift
        self.rest = np.zeros(0, bool)
        self.blocks = np.zeros(0, bool)  # of `shift` samples each, from the next frame on: is there sound

    def listen(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for chunk in chunks:
            self.rest = np.concatenate([self.rest, is_sound(chunk)])
            whole = len(self.rest) // self.shift * self.shift
            self.blocks = np.concatenate([self.blocks, self.rest[:whole].reshape(-1, self.shift).any(1)])
            self.rest = self.rest[whole:]
            yield chunk

    def pop(self, count: int) -> np.ndarray:
        """`silent`, and the frames after them are the next ones."""
        silent = self.silent(count)
        self.blocks = self.blocks[count:]
        return silent

    def silent(self, count: int) -> np.ndarray:
        """(count,) bool of the next frames."""
        padded = np.concatenate([self.blocks[: count + self._SHIFTS - 1], np.zeros(count + self._SHIFTS, bool)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._SHIFTS)[:count]
        return ~windows.any(1)


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

    def add(self, rows: np.ndarray, silent: np.ndarray) -> None:
        """Take the next rows, of which some are silent whatever they say."""
        if not len(rows):
            return
        self.parts.append(rows)
        quiet = np.zeros(len(rows), bool)
        if self.silence.any() and not self.silence.all():
            quiet = rows[:, self.silence].max(1) > rows[:, ~self.silence].max(1)
        self.quiet = np.concatenate([self.quiet, quiet | silent])

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
