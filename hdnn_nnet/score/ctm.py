"""Word times of one-best hypotheses, from the alignment alone."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.text import to_int, words

KINDS = ("nonword", "begin", "end", "internal", "singleton")


@dataclass
class Segment:
    """Some frames, from `begin` (included) to `end` (excluded)."""

    begin: int
    end: int


def read_word_boundary(path: str | os.PathLike[str]) -> dict[int, str]:
    """`word_boundary.int`: each phone's place in words.

    Raises:
        HdnnError: missing file, or a line that is none of the known kinds.
    """
    try:
        table = {to_int(phone): kind for phone, kind in map(words, read_lines(path))}
    except ValueError as error:
        raise HdnnError(f"{path}: every line must be a phone's number and its kind ({error})") from error
    odd = set(table.values()) - set(KINDS)
    if odd:
        raise HdnnError(f"{path}: unknown kind {sorted(odd)[0]}; known are {', '.join(KINDS)}")
    return table


def phone_segments(alignment: np.ndarray, model: TransitionModel) -> list[tuple[int, Segment]]:
    """(phone, frames) of each phone of an alignment with reordered self-loops, as Kaldi's graphs have them.

    A phone ends with its final transition and the self-loops of that transition's state that follow.
    """
    if len(alignment) == 0:
        return []
    tids = np.asarray(alignment)
    if tids.min() < 1 or tids.max() > model.num_transition_ids:
        raise HdnnError("an alignment holds transition-ids that the model does not have; they do not belong together")
    state, final, loop = model.tid_to_state[tids], model.is_final[tids], model.is_self_loop[tids]
    result, begin, ended = [], 0, False
    for frame in range(len(tids)):
        if ended and not (loop[frame] and state[frame] == state[frame - 1]):
            result.append((int(model.tid_to_phone[tids[begin]]), Segment(begin, frame)))
            begin, ended = frame, False
        ended = ended or bool(final[frame])
    result.append((int(model.tid_to_phone[tids[begin]]), Segment(begin, len(tids))))
    return result


def word_segments(phones: Sequence[tuple[int, Segment]], boundary: Mapping[int, str]) -> list[Segment]:
    """Frames of each word, silences between words left out; a word that the end cuts off counts."""
    result: list[Segment] = []
    open_word: Segment | None = None
    for phone, segment in phones:
        kind = boundary.get(phone)
        if kind is None:
            raise HdnnError(f"phone {phone} is not in word_boundary.int; regenerate the lang directory")
        if kind in ("begin", "singleton"):
            open_word = Segment(segment.begin, segment.end)
            result.append(open_word)
        elif kind in ("internal", "end") and open_word is not None:
            open_word.end = segment.end
    return result


def spread(num_words: int, num_frames: int) -> list[Segment]:
    """Equal shares of an utterance, where words and phones do not match."""
    edges = [round(i * num_frames / num_words) for i in range(num_words + 1)] if num_words else [0]
    return [Segment(a, b) for a, b in pairwise(edges)]
