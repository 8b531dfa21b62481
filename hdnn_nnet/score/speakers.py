"""Word errors by speaker, as scoring leaves them in `scoring_kaldi/wer_details/per_spk`."""

import os
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.text import to_int, words


@dataclass(frozen=True)
class SpeakerErrors:
    """Counts of one speaker."""

    words: int
    errors: int

    @property
    def wer(self) -> float:
        """Percent; not a number without words."""
        return 100.0 * self.errors / self.words if self.words else float("nan")


def read_per_speaker(decode_dir: str | os.PathLike[str]) -> dict[str, SpeakerErrors]:
    """Speaker -> errors at the decode directory's own best weight and penalty; the sum is left out.

    Raises:
        HdnnError: no such file, or a line that is not of its form.
    """
    path = Path(decode_dir) / "scoring_kaldi/wer_details/per_spk"
    found: dict[str, SpeakerErrors] = {}
    if not path.exists():
        raise HdnnError(f"{path} does not exist; score again")
    for line in read_lines(path):
        cells = words(line)
        if len(cells) < 2 or cells[1] != "raw" or cells[0] == "SUM":
            continue
        try:
            found[cells[0]] = SpeakerErrors(to_int(cells[3]), to_int(cells[8]))
        except (IndexError, ValueError) as error:
            raise HdnnError(f"{path}: cannot read the line of {cells[0]}; score again") from error
    return found
