"""Results of model directories for tables and figures; directories that differ in `_s<seed>` at their end are one system."""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines, read_word
from hdnn_nnet.nn.config import NetworkConfig, read_json
from hdnn_nnet.nn.model_dir import load_config
from hdnn_nnet.score.best import WerFile, choose, read_wer_file, read_wer_files
from hdnn_nnet.text import to_float, to_int, words

_SEED = re.compile(r"_s\d+$")


@dataclass(frozen=True)
class Result:
    """One trained network.

    Attributes:
        criterion: the text of the file `criterion`, for example `CE` or `KD q=0 T=1`.
        cv_loss, cv_accuracy: of the last accepted epoch; None after sequence training.
        dev: the best of the development set's WER files; weight and penalty are chosen there.
        eval_file: that of the evaluation set at this weight and penalty; None without such a set.
        sclite: sclite's WERs of both sets at the weight that is best on the development set; None where it did not score.
    """

    directory: Path
    config: NetworkConfig
    parameters: int
    criterion: str
    cv_loss: float | None
    cv_accuracy: float | None
    dev: WerFile
    eval_file: WerFile | None
    sclite: tuple[float, float | None] | None = None

    @property
    def features(self) -> str:
        """`fbank` and the like where the network reads what a device can compute, else nothing (features of a GMM)."""
        path = self.directory / "feat_opts"
        found = re.search(r"--type=(\w+)", " ".join(read_lines(path))) if path.is_file() else None
        return found[1] if found else ""

    @property
    def evaluation(self) -> float | None:
        """WER of the evaluation set."""
        return self.eval_file.wer if self.eval_file else None


def read_sclite(decode_dir: Path) -> dict[int, float]:
    """LM weight -> WER of sclite (the file `ascore_wer` of local/score_sclite.sh); empty without the file.

    Raises:
        HdnnError: a line that holds no WER and weight.
    """
    path = decode_dir / "ascore_wer"
    if not path.is_file():
        return {}
    try:
        return {to_int(weight): to_float(wer) for wer, weight, *_ in map(words, read_lines(path))}
    except ValueError as error:
        raise HdnnError(f"{path}: expected lines `WER LMWT FILE` ({error}); score again") from error


def _sclite(directory: Path, dev: str, evaluation: str) -> tuple[float, float | None] | None:
    on_dev = read_sclite(directory / dev)
    if not on_dev:
        return None
    weight = min(on_dev, key=lambda w: (on_dev[w], w))
    return on_dev[weight], read_sclite(directory / evaluation).get(weight) if evaluation else None


def read_result(directory: Path, dev: str = "decode_dev", evaluation: str = "decode_eval", smooth: int = 0) -> Result:
    """Collect the figures of one model directory.

    Args:
        dev, evaluation: names of the decode directories in it; an empty `evaluation`: none.
        smooth: neighbouring LM weights that help to choose one, see `best.choose`.

    Raises:
        HdnnError: a file is missing.
    """
    epochs = directory / "history.json"  # sequence training has no cross-validation
    history = [epoch for epoch in read_json(epochs) if epoch["accepted"]] if epochs.is_file() else []
    chosen = choose(read_wer_files(directory / dev), smooth)
    criterion = directory / "criterion"
    return Result(
        directory,
        load_config(directory),
        read_json(directory / "model.json")["num_parameters"],
        read_word(criterion) if criterion.is_file() else "CE",
        history[-1]["cv_loss"] if history else None,
        history[-1]["cv_accuracy"] if history else None,
        chosen,
        read_wer_file(directory / evaluation / chosen.path.name) if evaluation else None,
        _sclite(directory, dev, evaluation),
    )


def without_seed(name: str) -> str:
    """`hdnn-h128l10_kd_s777` to `hdnn-h128l10_kd`."""
    return _SEED.sub("", name)


def systems(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results by name without the seed, in the order of their first appearance.

    Directories of one name below different ones are different systems; their names then begin with that of the one above.
    """
    groups: dict[tuple[Path, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.directory.parent, without_seed(result.directory.name)), []).append(result)
    names = [name for _, name in groups]
    return {
        f"{parent.name}/{name}" if names.count(name) > 1 else name: group for (parent, name), group in groups.items()
    }


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """`14.12`, or mean and standard deviation over seeds: `14.31 ± 0.22`; `-` without values."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean
