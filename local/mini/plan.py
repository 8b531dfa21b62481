"""What is said in a meeting, by whom and roughly when: text only, so that it is cheap."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .config import SETS, Config
from .grammar import meeting_grammar
from .tokens import Token, disfluent
from .voices import Speaker

# A segment's length: fitted to the default corpora of seeds 1 and 2.
WORD_MINUTES = 0.78  # times words over the nominal rate
SENTENCE_SECONDS = 0.52
SHARES = {"PM": 0.34, "ME": 0.22, "ID": 0.22, "UI": 0.22}  # of the turns; AMI's project managers talk most


@dataclass(frozen=True)
class Turn:
    """One AMI segment to be: sentences of one speaker, and where it begins."""

    agent: int
    sentences: tuple[tuple[Token, ...], ...]
    gap: (
        float  # seconds after the end of the last turn, negative for overlap; a backchannel: share of the turn it is in
    )
    backchannel: bool = False


def plan_meeting(config: Config, set_name: str, meeting: str, speakers: list[Speaker]) -> list[Turn]:
    """Draw turns until their estimated duration reaches what `config` asks for. Depends on seed and meeting only."""
    rng = random.Random(f"{config.seed} text {meeting}")
    instead = {} if set_name == "train" else {"name": ("oov_name", config.oov_share)}
    goal, seconds, last = config.meeting_seconds(set_name), 0.0, -1
    turns: list[Turn] = []
    opening = rng.sample(range(len(speakers)), len(speakers))  # everybody gets a word in, however short the meeting
    while seconds < goal or opening:
        agent = opening.pop() if opening else _next_speaker(rng, speakers, last)
        sentences = [_sentence(rng, config, "sentence", instead)]
        while len(sentences) < 5 and rng.random() < config.speech.more_sentences:
            sentences.append(_sentence(rng, config, "sentence", instead))
        overlap = bool(turns) and rng.random() < config.speech.overlap
        gap = -rng.uniform(*config.speech.overlap_s) if overlap else rng.uniform(*config.speech.gap_s)
        turns.append(Turn(agent, tuple(sentences), gap))
        seconds += estimated_seconds(turns[-1], speakers[agent])
        last = agent
        if seconds < goal and len(sentences) > 1 and rng.random() < config.speech.backchannel:
            listener = rng.choice([i for i in range(len(speakers)) if i != agent])
            turns.append(
                Turn(
                    listener, (_sentence(rng, config, "backchannel", instead),), rng.uniform(0.2, 0.9), backchannel=True
                )
            )
            seconds += estimated_seconds(turns[-1], speakers[listener])
    return turns


def plan_corpus(config: Config, cast: dict[str, list[Speaker]]) -> Iterator[tuple[str, str, list[Turn]]]:
    """Set name, meeting name and turns of every meeting."""
    for set_name in SETS:
        for meeting in config.meetings(set_name):
            yield set_name, meeting, plan_meeting(config, set_name, meeting, cast[meeting])


def estimated_seconds(turn: Turn, speaker: Speaker) -> float:
    """About how long the turn's segment will be, in seconds."""
    words = sum(token.kind == "w" for sentence in turn.sentences for token in sentence)
    return words * 60 * WORD_MINUTES / speaker.rate + len(turn.sentences) * SENTENCE_SECONDS


def _next_speaker(rng: random.Random, speakers: list[Speaker], last: int) -> int:
    others = [i for i in range(len(speakers)) if i != last]
    return rng.choices(others, weights=[SHARES[speakers[i].role] for i in others])[0]


def _sentence(
    rng: random.Random, config: Config, rule: str, instead: dict[str, tuple[str, float]]
) -> tuple[Token, ...]:
    return tuple(disfluent(meeting_grammar().draw(rng, rule, instead), rng, config.speech))
