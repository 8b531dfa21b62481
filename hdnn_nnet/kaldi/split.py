"""Splitting data directories: into jobs, and into training and cross-validation parts."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.copies import apart_from, originals_by_speaker
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.options import JobOptions


def split_speakers(spk2utts: dict[str, list[str]], jobs: int) -> list[list[str]]:
    """Contiguous groups of speakers with about equally many utterances, none empty, by the rule of Kaldi's split_scp.pl.

    First about equally many speakers each; then the speaker at a border moves to the neighbour while that makes the two more
    equal. With the very groups of Kaldi, `ali.JOB.gz` and `trans.JOB` of ours go with its `splitN/JOB`.
    """
    counts = {speaker: len(utterances) for speaker, utterances in spk2utts.items()}
    groups: list[list[str]] = [[] for _ in range(jobs)]
    for place, speaker in enumerate(counts):
        groups[place * jobs // len(counts)].append(speaker)
    sizes = [sum(counts[speaker] for speaker in group) for group in groups]

    def moves(group: int, neighbour: int) -> bool:
        """Move a border speaker of `group` to `neighbour` if that helps."""
        if not 0 <= neighbour < jobs or not groups[group]:
            return False
        forward = neighbour > group
        speaker = groups[group][-1 if forward else 0]
        difference = sizes[neighbour] - sizes[group]
        if abs(difference + 2 * counts[speaker]) >= abs(difference):
            return False
        groups[group].remove(speaker)
        groups[neighbour].insert(0 if forward else len(groups[neighbour]), speaker)
        sizes[group] -= counts[speaker]
        sizes[neighbour] += counts[speaker]
        return True

    changed = True
    while changed:
        # All borders in turn, both ways.
        changed = sum(moves(group, group + step) for group in range(jobs) for step in (1, -1)) > 0
    return groups


def job_speakers(spk2utts: dict[str, list[str]], job: JobOptions, what: str | os.PathLike[str]) -> dict[str, list[str]]:
    """The speakers of one job with their utterances; `what` names the data directory in errors.

    Raises:
        HdnnError: more jobs than speakers.
    """
    if job.num_jobs > len(spk2utts):
        raise HdnnError(f"{what}: {len(spk2utts)} speakers cannot be dealt to {job.num_jobs} jobs; lower --num-jobs")
    return {speaker: spk2utts[speaker] for speaker in split_speakers(spk2utts, job.num_jobs)[job.job - 1]}


def split_data(data: Path, jobs: int) -> Path:
    """Write the split; return its directory. Files that are right already are left alone.

    Raises:
        HdnnError: more jobs than speakers, or an utterance of utt2spk without features.
    """
    source = DataDir(data)
    if not 1 <= jobs <= len(source.spk2utts):
        raise HdnnError(
            f"{data}: cannot split {len(source.spk2utts)} speakers into {jobs} jobs; "
            f"take --nj {len(source.spk2utts)} or less"
        )
    if "feats.scp" in source.tables and set(source.tables["feats.scp"]) != set(source.utt2spk):
        odd = sorted(set(source.tables["feats.scp"]) ^ set(source.utt2spk))
        raise HdnnError(
            f"{data}: feats.scp and utt2spk differ in {len(odd)} utterances, such as {odd[0]}; run fix_data_dir.sh"
        )
    root = data / f"split{jobs}"
    for job, speakers in enumerate(split_speakers(source.spk2utts, jobs), 1):
        source.write_subset((u for speaker in speakers for u in source.spk2utts[speaker]), root / str(job))
    return root


def choose_speakers(spk2utts: dict[str, list[str]], percent: float, seed: int) -> set[str]:
    """Random speakers with about `percent` of all utterances; at least one, never all."""
    total = sum(map(len, spk2utts.values()))
    chosen: set[str] = set()
    taken = 0
    for speaker in np.random.default_rng(seed).permutation(sorted(spk2utts)):
        size = len(spk2utts[speaker])
        # Stop where one more speaker would lead further away from the wanted share.
        if chosen and abs(taken + size - total * percent / 100) >= abs(taken - total * percent / 100):
            continue
        if len(chosen) + 1 < len(spk2utts):
            chosen.add(str(speaker))
            taken += size
    return chosen


def hold_out(
    utt2spk: Mapping[str, str], originals: Mapping[str, str], percent: float, seed: int
) -> tuple[list[str], list[str]]:
    """Utterances to train on, and others for cross-validation with about `percent` of all originals.

    The two share no speaker, unless there is only one, and no original: of those held out no copy is trained on, and none is
    held out beside its original. So copies change nothing in what is held out.

    Args:
        originals: utterance -> its original, where it is a copy.
    """
    speakers = originals_by_speaker(utt2spk, originals)
    if len(speakers) > 1:
        chosen = choose_speakers(speakers, percent, seed)
        held = [utt for speaker in speakers if speaker in chosen for utt in speakers[speaker]]
    else:
        every = max(2, round(100 / percent))
        held = [utt for utts in speakers.values() for utt in utts[::every]]
    return apart_from(held, utt2spk, originals), held
