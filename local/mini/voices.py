"""Speakers: each a distinct voice, and none in two sets."""

import itertools
import random
from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError

from .config import SETS, Config

# espeak-ng's English accents: voice file and the region told in participants.xml.
ACCENTS = {
    "gmw/en": "England",
    "gmw/en-US": "USA",
    "gmw/en-GB-x-rp": "South of England",
    "gmw/en-GB-scotland": "Scotland",
    "gmw/en-GB-x-gbclan": "Lancaster",
    "gmw/en-GB-x-gbcwmd": "West Midlands",
    "gmw/en-029": "Caribbean",
    "gmw/en-US-nyc": "New York",
}
# Variants (larynx and formants) of each set, by sex; a set's variants occur in no other set.
VARIANTS = {
    "train": {
        "F": ("f1", "f3", "f5", "belinda", "grandma", "Alicia"),
        "M": (
            *("m1", "m3", "m4", "m5", "m7", "Alex", "Gene", "robert", "victor", "Michael", "max"),
            "Denis",
            "john",
            "boris",
        ),
    },
    "dev": {"F": ("f4", "linda"), "M": ("m2", "Mario", "Andy", "pablo")},
    "eval": {"F": ("f2", "aunty"), "M": ("m6", "rob", "Mike", "grandpa")},
}
SEXES = ("M", "F", "M", "M")  # of agents A to D, before each meeting's shuffle; AMI has about one third women
ROLES = ("PM", "ME", "ID", "UI")


@dataclass(frozen=True)
class Speaker:
    """One person. Everything about the voice follows from these fields."""

    name: str  # AMI's global name; numbers from 900 on are not AMI's
    sex: str
    age: int
    meeting: str
    agent: str  # A to D; channel 0 to 3
    role: str
    accent: str
    variant: str
    pitch: int
    pitch_range: int
    rate: int

    @property
    def voice(self) -> str:
        return f"{self.accent}+{self.variant}"

    @property
    def channel(self) -> int:
        return "ABCD".index(self.agent)


def cast_speakers(config: Config) -> dict[str, list[Speaker]]:
    """Four speakers for every meeting; no pair of accent and variant occurs twice."""
    cast: dict[str, list[Speaker]] = {}
    number = itertools.count(900)
    for set_name in SETS:
        rng = random.Random(f"{config.seed} voices {set_name}")
        free = {sex: _voice_order(rng, variants) for sex, variants in VARIANTS[set_name].items()}
        for meeting in config.meetings(set_name):
            sexes, roles = rng.sample(SEXES, 4), rng.sample(ROLES, 4)
            if len(cast) % 2:  # every other meeting has two women
                sexes[sexes.index("M")] = "F"
            cast[meeting] = []
            for agent, sex, role in zip("ABCD", sexes, roles, strict=True):
                if not free[sex]:
                    raise HdnnError(f"{set_name}: not enough distinct voices for its meetings; ask for fewer hours")
                accent, variant = free[sex].pop(0)
                speech = config.speech
                site = {"E": "E", "I": "I", "T": "T"}[meeting[0]]
                cast[meeting].append(
                    Speaker(
                        name=f"{sex}{site}E{next(number)}",
                        sex=sex,
                        age=rng.randint(19, 62),
                        meeting=meeting,
                        agent=agent,
                        role=role,
                        accent=accent,
                        variant=variant,
                        pitch=rng.randint(*speech.pitch),
                        pitch_range=rng.randint(*speech.pitch_range),
                        rate=rng.randint(*speech.rate_wpm),
                    )
                )
    return cast


def _voice_order(rng: random.Random, variants: tuple[str, ...]) -> list[tuple[str, str]]:
    """All accents x variants, such that every variant is used before one comes back with another accent."""
    order: list[tuple[str, str]] = []
    shuffled = rng.sample(variants, len(variants))
    accents = rng.sample(sorted(ACCENTS), len(ACCENTS))
    for shift in range(len(accents)):
        order += [(accents[(i + shift) % len(accents)], variant) for i, variant in enumerate(shuffled)]
    return order
