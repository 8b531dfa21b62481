"""How features were computed: their kind and the options of Kaldi's compute-KIND-feats, kept in a file `feat_opts`.

Data directories get the file when their features are extracted, model directories when they are trained, so that audio can be
given to a model later. The line in it is such as `--type=fbank --num-mel-bins=40 --window-type=hamming`.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.extract import DEFAULTS, FeatureExtractor
from hdnn_nnet.kaldi.data_dir import FEAT_OPTS, FEATS_OF
from hdnn_nnet.kaldi.text_file import read_word
from hdnn_nnet.options import read_config


@dataclass(frozen=True)
class FeatureDescription:
    """Kind (`mfcc` or `fbank`) and options, (name, value) pairs sorted by name and without `--`; no option twice.

    Options at this project's defaults are spelled out, so that equal features have equal descriptions.
    """

    kind: str
    options: tuple[tuple[str, str], ...]

    @classmethod
    def make(cls, kind: str, options: Mapping[str, str]) -> "FeatureDescription":
        """Build and check.

        Raises:
            HdnnError: a kind or an option that the extractor does not have.
        """
        FeatureExtractor(kind, dict(options))
        return cls(kind, tuple(sorted({**DEFAULTS[kind], "dither": "0", **options}.items())))

    @classmethod
    def parse(cls, line: str, where: str | os.PathLike[str]) -> "FeatureDescription":
        """From a line as `line()` gives it; `where` is named in errors."""
        try:
            return _from_words(shlex.split(line), "")
        except (HdnnError, ValueError) as error:
            raise HdnnError(f"{where}: {error}") from error

    @classmethod
    def from_config(cls, kind: str, path: str | os.PathLike[str]) -> "FeatureDescription":
        """From a configuration file such as conf/fbank.conf."""
        try:
            return _from_words(read_config(path), kind)
        except HdnnError as error:
            raise HdnnError(f"{path}: {error}") from error

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> "FeatureDescription | None":
        """From the `feat_opts` of a data or model directory; None if it has none."""
        path = Path(directory) / FEAT_OPTS
        return cls.parse(read_word(path), path) if path.is_file() else None

    def without_dither(self) -> tuple[str, str]:
        """What must agree between directories that are used together; defaults that are written out change nothing."""
        return self.kind, str(self.extractor().options)

    def line(self) -> str:
        return " ".join([f"--type={self.kind}", *(f"--{name}={shlex.quote(value)}" for name, value in self.options)])

    def write(self, directory: str | os.PathLike[str]) -> None:
        write_text(Path(directory) / FEAT_OPTS, self.line() + "\n")
        (Path(directory) / FEATS_OF).unlink(missing_ok=True)

    def kaldi_config(self) -> str:
        """The text of a configuration for compute-KIND-feats, or for Kaldi's on-line features; without dither."""
        return "".join(f"--{name}={'0' if name == 'dither' else value}\n" for name, value in self.options)

    def extractor(self) -> FeatureExtractor:
        """Computes these features, without dither."""
        return FeatureExtractor(self.kind, {**dict(self.options), "dither": "0"})


def require_same_features(*directories: str | os.PathLike[str]) -> None:
    """Compare the `feat_opts` of data and model directories, where they have one; dither may differ.

    Raises:
        HdnnError: two of them say different things; both are named.
    """
    found = [(directory, FeatureDescription.read(directory)) for directory in directories]
    known = [(directory, description) for directory, description in found if description is not None]
    for directory, description in known[1:]:
        if description.without_dither() != known[0][1].without_dither():
            raise HdnnError(
                f"{known[0][0]}/{FEAT_OPTS} says {known[0][1].line()}, {directory}/{FEAT_OPTS} {description.line()}: features "
                "of different kinds do not go together; extract them as the model's"
            )


def _from_words(words: Sequence[str], kind: str) -> FeatureDescription:
    pairs = [word.removeprefix("--").partition("=")[::2] for word in words]
    options = {name: value or "true" for name, value in pairs}
    return FeatureDescription.make(options.pop("type", kind), options)
