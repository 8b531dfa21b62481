"""Copies of utterances, changed in speed or by noise: `utt2uniq` names the original of each, as Kaldi's scripts write it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.text import words

UTT2UNIQ = "utt2uniq"


def read_originals(*data_dirs: str | os.PathLike[str]) -> dict[str, str]:
    """Utterance -> its original, from the `utt2uniq` of data directories that have one; others are their own originals.

    Raises:
        HdnnError: a line with none, or several.
    """
    originals: dict[str, str] = {}
    for path in (Path(directory) / UTT2UNIQ for directory in data_dirs):
        for utt, uniq in read_scp(path).items() if path.exists() else ():
            if len(words(uniq)) != 1:
                raise HdnnError(f"{path}: utterance {utt}: expected the name of its original, found {uniq!r}")
            originals[utt] = words(uniq)[0]
    return originals


def one_of_each(utts: Iterable[str], originals: Mapping[str, str]) -> list[str]:
    """One utterance of each original: itself where it is among `utts`, else its first copy. Without copies, all."""
    chosen: dict[str, str] = {}
    for utt in utts:
        original = originals.get(utt, utt)
        if utt == original or original not in chosen:
            chosen[original] = utt
    return list(chosen.values())


def originals_by_speaker(utt2spk: Mapping[str, str], originals: Mapping[str, str]) -> dict[str, list[str]]:
    """Speaker -> one utterance of each original of theirs. Copies count for the speaker of their original.

    Speakers who share an original some other way are one, under the name of the first. Without copies these are all
    utterances by speaker, in the given order.
    """
    home = {originals.get(utt, utt): utt2spk[utt] for utt in one_of_each(utt2spk, originals)}
    names: dict[str, str] = {}

    def name(speaker: str) -> str:
        while speaker in names:
            speaker = names[speaker]
        return speaker

    for utt, speaker in utt2spk.items():
        ours, theirs = name(speaker), name(home[originals.get(utt, utt)])
        if ours != theirs:
            names[ours] = theirs
    groups: dict[str, list[str]] = {}
    for utt in one_of_each(utt2spk, originals):
        groups.setdefault(name(utt2spk[utt]), []).append(utt)
    return groups


def apart_from(held_out: Iterable[str], utts: Iterable[str], originals: Mapping[str, str]) -> list[str]:
    """Those of `utts` that neither are held out nor share an original with one that is."""
    unseen = {originals.get(utt, utt) for utt in held_out}
    return [utt for utt in utts if originals.get(utt, utt) not in unseen]


def stand_ins(frames: Mapping[str, int], targets: Mapping[str, int], originals: Mapping[str, str]) -> dict[str, str]:
    """Copy -> the utterance whose targets it takes: the cleanest that it was made from and that is as long.

    A copy with noise has the frames of its original, one of another speed has not and needs targets of its own. A copy of a
    copy (noise1-sp0.9-utt) may take those of the copy (sp0.9-utt).

    Args:
        frames: utterance -> frames of its features.
        targets: utterance -> frames of its alignment or soft labels.
        originals: as of read_originals.
    """
    return {
        utt: found
        for utt, length in frames.items()
        for found in [next((s for s in _sources(utt, originals.get(utt, utt)) if targets.get(s) == length), None)]
        if found is not None
    }


def _sources(utt: str, original: str) -> list[str]:
    """What a copy was made from, the cleanest first: its original, then that with one prefix more after the other."""
    steps, rest = [], utt.partition("-")[2]
    while rest.endswith(f"-{original}"):
        steps.append(rest)
        rest = rest.partition("-")[2]
    return [original, *reversed(steps)] if utt != original else []
