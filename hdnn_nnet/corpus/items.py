"""Utterances as the sources of a corpus (folders, tables, manifests) give them, and what of them is left out."""

import logging
import re
from collections import Counter
from dataclasses import dataclass, field

from hdnn_nnet.errors import HdnnError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One utterance.

    Attributes:
        name: what it is called among those of its speaker; not yet fit for Kaldi.
        audio: its recording, a path or a pipe as in wav.scp.
        recording: key of the recording where several utterances share it; empty: the utterance is the recording.
        start, end: seconds in the recording; None: all of it.
        where: file (and line) for messages.
        channel: of the recording, from 0.
        id: Kaldi's utterance id where there is one already.
        original: id of the utterance that this one is a copy of (utt2uniq).
    """

    name: str
    speaker: str
    text: str
    audio: str
    where: str
    recording: str = ""
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    id: str = ""
    original: str = ""

    @property
    def key(self) -> str:
        """Kaldi's utterance id: the speaker is its prefix, so that utterances and speakers sort alike."""
        if self.id:
            return self.id
        speaker, name = tidy(self.speaker), tidy(self.name)
        return name if name.startswith(f"{speaker}-") else f"{speaker}-{name}"


def tidy(name: str) -> str:
    """A name without what Kaldi or a shell would stumble over."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_") or "_"


@dataclass
class LeftOut:
    """Counts utterances that are left out by reason, with the first one of each as example."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        self.counts[reason] += 1
        self.examples.setdefault(reason, example)

    def report(self) -> None:
        """A warning for every reason."""
        for reason, count in sorted(self.counts.items()):
            log.warning("left out: %d x %s, such as %s", count, reason, self.examples[reason])

    def check(self, total: int, most: float, where: str) -> None:
        """End where too much is lost.

        Raises:
            HdnnError: more than the share `most` of `total` utterances are left out, or all.
        """
        lost = self.counts.total()
        if lost and (lost > most * total or lost == total):
            reasons = ", ".join(
                f"{count} x {reason}, such as {self.examples[reason]}" for reason, count in self.counts.most_common()
            )
            raise HdnnError(
                f"{where}: {lost} of {total} utterances cannot be used ({reasons}); mend them, or raise --max-left-out"
            )
