"""Every setting of the mini corpus in one place; docs/mini-corpus.md explains the choices."""

from dataclasses import dataclass, field

SAMPLE_RATE = 16000
DEFAULT_HOURS = 0.75
SETS = ("train", "dev", "eval")

# One meeting a session, out of AMI's official full-corpus-asr partition, in the order they are taken.
MEETINGS = {
    "train": (
        *("ES2002a", "IS1000a", "TS3005a", "ES2005a", "IS1001a", "TS3008a", "ES2006a", "IS1003a", "TS3009a", "ES2007a"),
        *("IS1004a", "TS3010a", "ES2008a", "IS1005a", "TS3011a", "ES2009a", "IS1006a", "TS3012a", "ES2010a", "IS1007a"),
        *("TS3006a", "ES2012a", "IS1002b", "TS3007a", "ES2013a", "ES2015a", "ES2016a", "ES2003a", "ES2014a"),
    ),
    "dev": ("ES2011a", "IS1008a"),
    "eval": ("ES2004a", "IS1009a"),
}


@dataclass(frozen=True)
class Acoustics:
    """What one set's headsets pick up. Ranges are uniform; all levels are RMS over the wearer's own speech."""

    snr_db: tuple[float, float]  # wearer's speech over room noise, drawn for each headset
    crosstalk_db: tuple[float, float]  # how far another speaker is below the level at their own headset, for each pair
    level_dbfs: tuple[float, float]  # level of the wearer's speech in the file, drawn for each headset


@dataclass(frozen=True)
class Speech:
    """How people talk. Probabilities are per sentence unless said otherwise."""

    filler: float = 0.14  # um, uh at a random place
    repetition: float = 0.07  # "the the", marked by a disfmarker
    truncation: float = 0.10  # "the re- the remote"; only where a word has a known truncation
    more_sentences: float = 0.45  # a turn goes on with another sentence
    backchannel: float = 0.35  # somebody says "mm-hmm" during a long turn (per turn)
    overlap: float = 0.25  # a turn begins before the last one ended (per turn)
    overlap_s: tuple[float, float] = (0.1, 0.8)
    gap_s: tuple[float, float] = (0.05, 0.9)  # silence between turns that do not overlap
    pause_s: tuple[float, float] = (0.12, 0.6)  # silence between sentences of a turn
    turn_level_db: float = 1.5  # standard deviation of loudness from turn to turn
    rate_wpm: tuple[int, int] = (155, 205)
    pitch: tuple[int, int] = (35, 65)  # espeak's scale, 50 is the variant's own pitch
    pitch_range: tuple[int, int] = (35, 75)


@dataclass(frozen=True)
class Config:
    """All settings. `hours_train` is the sum of training segment durations aimed at."""

    hours_train: float = DEFAULT_HOURS
    seed: int = 1
    meetings_per_hour: float = 8 / DEFAULT_HOURS  # training; 8 meetings, 32 speakers by default
    minutes_held_out: float = 8.0  # dev and eval each, at the default size or above; less below it
    oov_share: float = 0.65  # how many <name> become <oov_name> in dev and eval
    speech: Speech = field(default_factory=Speech)
    acoustics: dict[str, Acoustics] = field(
        default_factory=lambda: {
            "train": Acoustics(snr_db=(0, 16), crosstalk_db=(10, 22), level_dbfs=(-30, -22)),
            "dev": Acoustics(snr_db=(0, 10), crosstalk_db=(10, 22), level_dbfs=(-30, -22)),
            "eval": Acoustics(snr_db=(-2, 8), crosstalk_db=(8, 20), level_dbfs=(-32, -22)),
        }
    )

    def meetings(self, name: str) -> tuple[str, ...]:
        """Meeting names of a set."""
        if name == "train":
            return MEETINGS["train"][: max(2, round(self.hours_train * self.meetings_per_hour))]
        return MEETINGS[name][: 2 if self.hours_train >= DEFAULT_HOURS / 4 else 1]

    def meeting_seconds(self, name: str) -> float:
        """Speech aimed at in one meeting of the set, in seconds."""
        seconds = self.hours_train * 3600
        if name != "train":
            seconds = self.minutes_held_out * 60 * min(1.0, self.hours_train / DEFAULT_HOURS)
        return seconds / len(self.meetings(name))
