"""The 95 % intervals that scoring leaves beside its WERs."""

from collections.abc import Mapping
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.score.bootstrap import Interval, interval, replicate
from hdnn_nnet.score.errors_by_utterance import utterance_errors
from hdnn_nnet.score.sweep import Combination
from hdnn_nnet.score.wer import UtteranceCount

TABLE = "wer_intervals"
BEST = "best_wer_interval"
_HEADER = "# LMWT WIP WER, 95 % interval over utterances, the same over speakers\n"


def write_intervals(
    scoring: Path,
    counts: Mapping[Combination, Mapping[str, UtteranceCount]],
    utt2spk: Mapping[str, str],
    chosen: Combination,
    replications: int,
) -> None:
    """Write `wer_intervals`, a line for every LM weight and penalty, and `best_wer_interval`, those of the best as a sentence.

    Without replications (0), or with a single utterance, both files go, so that none of an earlier scoring is left.
    """
    (scoring / TABLE).unlink(missing_ok=True)
    (scoring / BEST).unlink(missing_ok=True)
    systems = [utterance_errors(c, utt2spk) for c in counts.values()]
    if not replications or not systems[0].can_be_drawn:
        return
    units = ["utterance"] + (["speaker"] if len(set(systems[0].speakers)) > 1 else [])
    drawn = {unit: replicate(systems, unit, replications) for unit in units}
    rows = []
    for number, ((weight, penalty), system) in enumerate(zip(counts, systems, strict=True)):
        found = {unit: interval(system.wer, drawn[unit][:, number]).of_rate() for unit in units}
        rows.append(
            f"{weight} {penalty} {system.wer:.2f} " + " ".join(f"{i.low:.2f} {i.high:.2f}" for i in found.values())
        )
        if (weight, penalty) == chosen:
            write_text(scoring / BEST, _sentence(found, len(systems[0].utterances), len(set(systems[0].speakers))))
    write_text(scoring / TABLE, _HEADER + "".join(row + "\n" for row in rows))


def _sentence(found: Mapping[str, Interval], utterances: int, speakers: int) -> str:
    text = f"95 % interval: {found['utterance']} (bootstrap over {utterances} utterances)"
    if "speaker" in found:
        text += f", {found['speaker']} (over {speakers} speakers)"
    return text + "\n"
