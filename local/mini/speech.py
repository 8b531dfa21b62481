"""From a turn's tokens to samples and word times."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from .config import SAMPLE_RATE, Speech
from .espeak import VOICE_RMS, Synthesiser, Utterance
from .plan import Turn
from .tokens import Token

LEAD = 0.06  # after silence, a word's time begins this much before its sound, as in forced alignments
TAIL = 0.15  # and the last word of a turn ends this much after it
FADE = int(0.008 * SAMPLE_RATE)  # where a word is cut short
CUT_PAUSE = (0.04, 0.15)  # silence after a word cut short
LAUGHS = ("[[h'ah'ah'ah'a]]", "[[h@h'ah'ah'a]]", "[[h'Eh'Eh'Eh'E]]")


@dataclass
class Spoken:
    """A turn as heard. Times in seconds from its first sample."""

    samples: np.ndarray  # float32 (N,)
    tokens: list[tuple[Token, float, float]]  # token, start, end; an end meets the next start, as mostly in AMI


def speak_turn(turn: Turn, synthesiser: Synthesiser, speech: Speech, rng: random.Random) -> Spoken:
    """Synthesise a turn with the voice that is set: words and vocal sounds, pauses between the sentences."""
    pieces = [_silence(LEAD)]
    clock, sound_end = LEAD, 0.0
    onsets: list[tuple[Token, float | None]] = []  # None: no sound of its own
    for number, sentence in enumerate(turn.sentences):
        if number:
            pieces.append(_silence(rng.uniform(*speech.pause_s)))
            clock += len(pieces[-1]) / SAMPLE_RATE
        for vocal, group in groupby(sentence, key=lambda token: token.kind == "vocalsound"):
            tokens = list(group)
            if not any(token.spoken or vocal for token in tokens):
                onsets += [(token, None) for token in tokens]
                continue
            if vocal:
                samples, times, end = _vocal_sound(tokens[0].text, synthesiser, rng)
            else:
                samples, times, end = _words(tokens, synthesiser, rng)
            first = True
            for token, time in zip(tokens, times, strict=True):
                start = None if time is None else clock + time
                if first and start is not None:
                    start -= min(LEAD, clock - sound_end)
                    first = False
                onsets.append((token, start))
            pieces.append(samples)
            sound_end = clock + end
            clock += len(samples) / SAMPLE_RATE
    pieces.append(_silence(max(0.0, sound_end + TAIL - clock)))
    return Spoken(np.concatenate(pieces), _with_ends(onsets, sound_end + TAIL))


def word_onsets(tokens: list[Token], positions: list[int], utterance: Utterance) -> list[float | None]:
    """Onset of each spoken token in seconds, None for the others.

    espeak tells onsets by the word's place in the text. It tells none for the second of two words that it reads as
    one ("of the"): their time is divided by the number of letters, at the nearest beginning of a sound.
    """
    spoken = [i for i, token in enumerate(tokens) if token.spoken]
    onsets: list[float | None] = [None] * len(tokens)
    for i in spoken:
        inside = [t for place, t in utterance.words if positions[i] <= place < positions[i] + len(tokens[i].spoken)]
        onsets[i] = min(inside, default=None)
    if onsets[spoken[0]] is None:
        onsets[spoken[0]] = 0.0
    sounds = [t for t, name in utterance.phonemes if not name.startswith("_")]
    for known, run in _runs(spoken, onsets):
        begin = onsets[known]
        later = [t for i in spoken if i > run[-1] and (t := onsets[i]) is not None]
        end = later[0] if later else utterance.end
        assert begin is not None
        letters = np.cumsum([len(tokens[i].spoken) for i in (known, *run)])
        for i, share in zip(run, letters[:-1] / letters[-1], strict=True):
            guess = begin + share * (end - begin)
            onsets[i] = min((t for t in sounds if begin < t < end), key=lambda t: abs(t - guess), default=guess)
    return onsets


def _runs(spoken: list[int], onsets: list[float | None]) -> Iterator[tuple[int, list[int]]]:
    """Each token with an onset that is followed by tokens without one, and those."""
    known, run = spoken[0], []
    for i in spoken[1:]:
        if onsets[i] is None:
            run.append(i)
            continue
        if run:
            yield known, run
        known, run = i, []
    if run:
        yield known, run


def _words(
    tokens: list[Token], synthesiser: Synthesiser, rng: random.Random
) -> tuple[np.ndarray, list[float | None], float]:
    """Samples, token onsets and the end of the sound of words without a vocal sound among them."""
    text, positions = "", []
    for token in tokens:
        positions.append(len(text) + bool(text))
        if token.spoken:
            text += (" " if text else "") + token.spoken
        elif token.kind == "punc":
            text += token.text
    utterance = synthesiser.say(text)
    onsets = word_onsets(tokens, positions, utterance)
    samples, end = utterance.samples, utterance.end
    # From the back, so that the times before a cut stay as they are.
    for i in reversed(range(len(tokens))):
        begin = onsets[i]
        if tokens[i].kind != "trunc" or begin is None:
            continue
        following = min((t for t in onsets[i + 1 :] if t is not None), default=end)
        sounds = [t for t, name in utterance.phonemes if begin - 0.005 <= t < following and not name.startswith("_")]
        cut = sounds[tokens[i].phonemes] if len(sounds) > tokens[i].phonemes else following
        pause = rng.uniform(*CUT_PAUSE)
        samples = _cut(samples, cut, following, pause)
        shift = cut + pause - following
        onsets[i + 1 :] = [None if t is None else t + shift for t in onsets[i + 1 :]]
        end += shift
    return samples, onsets, end


def _cut(samples: np.ndarray, begin: float, end: float, pause: float) -> np.ndarray:
    """Replace the time from begin to end by silence, with short fades."""
    left, right = samples[: int(begin * SAMPLE_RATE)].copy(), samples[int(end * SAMPLE_RATE) :].copy()
    left[-FADE:] *= np.linspace(1, 0, len(left[-FADE:]), dtype=np.float32)
    right[:FADE] *= np.linspace(0, 1, len(right[:FADE]), dtype=np.float32)
    return np.concatenate([left, _silence(pause), right])


def _vocal_sound(
    kind: str, synthesiser: Synthesiser, rng: random.Random
) -> tuple[np.ndarray, list[float | None], float]:
    """A laugh in the speaker's voice, a cough (two bursts of noise) or a breath."""
    if kind == "laugh":
        utterance = synthesiser.say(rng.choice(LAUGHS))
        return utterance.samples, [0.0], utterance.end
    # Seconds, level over the voice's, decay per second.
    bursts = ((0.18, 1.6, 25.0), (0.14, 1.2, 25.0)) if kind == "cough" else ((0.35, 0.3, 6.0),)
    noise = np.random.default_rng(rng.getrandbits(32))
    pieces = []
    for seconds, level, decay in bursts:
        time = np.arange(int(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
        burst = noise.standard_normal(len(time), dtype=np.float32)
        burst[1:] += 0.7 * burst[:-1]
        pieces += [burst * np.exp(-decay * time) * level * VOICE_RMS * np.minimum(1, time / 0.01), _silence(0.05)]
    samples = np.concatenate(pieces).astype(np.float32)
    return samples, [0.0], len(samples) / SAMPLE_RATE


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * SAMPLE_RATE), dtype=np.float32)


def _with_ends(onsets: list[tuple[Token, float | None]], end: float) -> list[tuple[Token, float, float]]:
    """Let every sound last until the next one; punctuation and disfluency markers stand between them."""
    timed: list[tuple[Token, float, float]] = []
    following = end
    for token, start in reversed(onsets):
        timed.append((token, following, following) if start is None else (token, start, following))
        following = following if start is None else start
    return timed[::-1]
