"""What was heard wrongly: confusions, and the worst utterances beside their references, with their sound."""

import base64
import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.feats.audio import read_audio, read_segments
from hdnn_nnet.score.best import WerFile
from hdnn_nnet.score.errors_by_utterance import read_scored
from hdnn_nnet.score.page.tables import Cell, html_table
from hdnn_nnet.score.wer import GAP, Alignment, align

#: utterances shown; of these, clips with sound, seconds of each at most, and bytes of all together
SHOWN, CLIPS, CLIP_SECONDS, CLIP_BYTES = 30, 8, 15.0, 1_500_000
_NAMES = {"S": "heard as", "D": "missed", "I": "invented"}


def alignments(file: WerFile) -> list[Alignment]:
    """Reference and hypothesis of every utterance; empty where they were not kept."""
    scoring = file.path.parent / "scoring_kaldi"
    if (
        not (scoring / f"penalty_{file.penalty}" / f"{file.lmwt}.txt").is_file()
        or not (scoring / "test_filt.txt").is_file()
    ):
        return []
    scored = read_scored(file.path.parent, file.lmwt, file.penalty)
    return align(scored.reference, scored.hypothesis)


def confusions(items: Sequence[Alignment], count: int = 20) -> str:
    """The most frequent errors, as a table."""
    found = Counter(
        (operation, ref, hyp)
        for item in items
        for operation, ref, hyp in zip(item.operations, item.reference, item.hypothesis, strict=True)
        if operation != "C"
    )
    rows: list[list[Cell]] = [["error", "spoken", "heard", "times"]]
    for (operation, ref, hyp), number in found.most_common(count):
        rows.append([_NAMES[operation], "" if ref == GAP else ref, "" if hyp == GAP else hyp, str(number)])
    return html_table(rows, "confusions")


def _errors(item: Alignment) -> int:
    return sum(operation != "C" for operation in item.operations)


def worst(items: Sequence[Alignment], count: int = SHOWN) -> list[Alignment]:
    """Those with most errors; of equal ones the shorter."""
    wrong = [item for item in items if _errors(item)]
    return sorted(wrong, key=lambda item: (-_errors(item), len(item.reference), item.key))[:count]


def marked(item: Alignment) -> tuple[str, str]:
    """Reference and hypothesis as HTML, with what differs coloured."""
    reference, hypothesis = [], []
    for operation, ref, hyp in zip(item.operations, item.reference, item.hypothesis, strict=True):
        kind = {"C": "", "S": "sub", "D": "del", "I": "ins"}[operation]
        if ref != GAP:
            reference.append(f'<b class="{kind}">{html.escape(ref)}</b>' if kind else html.escape(ref))
        if hyp != GAP:
            hypothesis.append(f'<b class="{kind}">{html.escape(hyp)}</b>' if kind else html.escape(hyp))
    return " ".join(reference), " ".join(hypothesis) or "<i>nothing</i>"


def utterances(items: Sequence[Alignment], sounds: Mapping[str, str]) -> str:
    """The worst utterances, each a block with its texts and, where there is one, a player."""
    blocks = []
    for item in worst(items):
        reference, hypothesis = marked(item)
        words = sum(word != GAP for word in item.reference)
        player = ""
        if item.key in sounds:
            player = f'<audio controls preload="metadata" src="{sounds[item.key]}"></audio>'
        blocks.append(
            f'<article class="utterance" data-search><h4>{html.escape(item.key)} <small>{_errors(item)} errors in {words} '
            f"words</small></h4>{player}<p><span>ref</span> {reference}</p><p><span>hyp</span> {hypothesis}</p></article>\n"
        )
    return "".join(blocks)


def clips(data_dir: Path, keys: Sequence[str]) -> dict[str, str]:
    """Sound of some utterances as data URIs (FLAC): the first ones that are short enough, bounded in number and size."""
    import soundfile

    wanted = set(keys)
    segments = {s.utterance: s for s in read_segments(data_dir) if s.utterance in wanted}
    chosen = [s for key in keys if (s := segments.get(key)) and (s.end is None or s.end - s.start <= CLIP_SECONDS)][
        :CLIPS
    ]
    found: dict[str, str] = {}
    size = 0
    for segment, rate, samples in read_audio(data_dir, sorted(chosen, key=lambda s: (s.recording, s.start))):
        stream = io.BytesIO()
        soundfile.write(stream, samples[: int(CLIP_SECONDS * rate)].astype(np.int16), int(rate), format="FLAC")
        text = base64.b64encode(stream.getvalue()).decode("ascii")
        size += len(text)
        if size > CLIP_BYTES:
            break
        found[segment.utterance] = f"data:audio/flac;base64,{text}"
    return found
