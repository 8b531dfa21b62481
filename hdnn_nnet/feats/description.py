"""How features were computed: their kind and the options of Kaldi's compute-KIND-feats, kept in a file `feat_opts`.

Data directories get the file when their features are extracted, model directories when they are trained, so that audio can be
given to a model later. The line in it is such as `--type=fbank --num-mel-bins=40 --window-type=hamming`. Features of an
encoder (`--type=ssl`) are described but not computed here; their rows are mostly 20 ms apart: `--frame-factor=2`.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.extract import DEFAULTS, FeatureExtractor
from hdnn_nnet.feats.frame_rate import SAME, FrameRate
from hdnn_nnet.kaldi.data_dir import FEAT_OPTS, FEATS_OF, FRAME_SHIFT
from hdnn_nnet.kaldi.text_file import read_word
from hdnn_nnet.options import read_config

#: features of an encoder, whatever program wrote them
SSL = "ssl"
#: what may be said of them: name and checksum of the encoder, layer or weights of layers, seconds of its windows,
#: of overlap, and of silence behind a window (Whisper)
SSL_OPTIONS = ("model", "checksum", "layer", "layer-weights", "window", "overlap", "pad")


@dataclass(frozen=True)
class FeatureDescription:
    """Kind (`mfcc`, `fbank` or `ssl`) and options, (name, value) pairs sorted by name and without `--`; no option twice.

    Options at this project's defaults are spelled out, so that equal features have equal descriptions.
    """

    kind: str
    options: tuple[tuple[str, str], ...]
    rate: FrameRate = SAME

    @classmethod
    def make(cls, kind: str, options: Mapping[str, str]) -> "FeatureDescription":
        """Build and check; the options may state the frame rate too.

        Raises:
            HdnnError: a kind or an option that there is not.
        """
        own = dict(options)
        rate = FrameRate.take(own)
        if kind == SSL:
            if unknown := sorted(own.keys() - set(SSL_OPTIONS)):
                raise HdnnError(f"--{unknown[0]}: not an option of ssl features; there are {', '.join(SSL_OPTIONS)}")
            return cls(kind, tuple(sorted(own.items())), rate)
        FeatureExtractor(kind, own)
        return cls(kind, tuple(sorted({**DEFAULTS[kind], "dither": "0", **own}.items())), rate)

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
        """From the `feat_opts` of a data or model directory, else a `frame_shift` above 10 ms; None if it has neither."""
        path = Path(directory) / FEAT_OPTS
        if path.is_file():
            return cls.parse(read_word(path), path)
        rate = frame_rate(directory)
        return None if rate.same else cls(SSL, (), rate)

    def agrees(self, other: "FeatureDescription") -> bool:
        """Whether features of both can be used together; dither, and defaults that are written out, change nothing.

        Of an encoder's features what both tell is compared, but not its name.
        """
        if (self.kind, self.rate.factor) != (other.kind, other.rate.factor):
            return False
        if self.kind != SSL:
            return str(self.extractor().options) == str(other.extractor().options)
        mine, theirs = dict(self.options), dict(other.options)
        return all(mine[name] == theirs[name] for name in (mine.keys() & theirs.keys()) - {"model"})

    def line(self) -> str:
        options = [f"--{name}={shlex.quote(value)}" for name, value in self.options]
        return " ".join([f"--type={self.kind}", *self.rate.words(), *options])

    def write(self, directory: str | os.PathLike[str]) -> None:
        write_text(Path(directory) / FEAT_OPTS, self.line() + "\n")
        for name in (FEATS_OF, FRAME_SHIFT):
            (Path(directory) / name).unlink(missing_ok=True)

    def kaldi_config(self) -> str:
        """The text of a configuration for compute-KIND-feats, or for Kaldi's on-line features; without dither."""
        return "".join(f"--{name}={'0' if name == 'dither' else value}\n" for name, value in self.options)

    def extractor(self) -> FeatureExtractor:
        """Computes these features, without dither.

        Raises:
            HdnnError: features of an encoder.
        """
        return FeatureExtractor(self.kind, {**dict(self.options), "dither": "0"})


def frame_rate(directory: str | os.PathLike[str]) -> FrameRate:
    """What a data directory's `feat_opts` says of its rows, or a `frame_shift` where it has none; else they are frames.

    Raises:
        HdnnError: a file that does not say what it should.
    """
    path, shift = Path(directory) / FEAT_OPTS, Path(directory) / FRAME_SHIFT
    if path.is_file():
        return FeatureDescription.parse(read_word(path), path).rate
    return FrameRate.of_shift(shift) if shift.is_file() else SAME


def require_same_features(*directories: str | os.PathLike[str]) -> None:
    """Compare the `feat_opts` of data and model directories, where they have one; dither may differ.

    Data directories that have none have frames of 10 ms.

    Raises:
        HdnnError: two of them say different things; both are named.
    """
    found = [(directory, FeatureDescription.read(directory)) for directory in directories]
    known = [(directory, description) for directory, description in found if description is not None]
    for directory, description in known[1:]:
        if not description.agrees(known[0][1]):
            raise HdnnError(
                f"{known[0][0]}/{FEAT_OPTS} says {known[0][1].line()}, {directory}/{FEAT_OPTS} {description.line()}: features "
                "of different kinds do not go together; extract them as the model's"
            )
    for directory, none in found:
        if none is None and known and known[0][1].rate.factor != 1 and (Path(directory) / "feats.scp").is_file():
            raise HdnnError(
                f"{known[0][0]}/{FEAT_OPTS} says {known[0][1].line()}, {directory} has no {FEAT_OPTS}: its rows are taken for "
                f"frames of 10 ms, which do not go together with that; write the line to {directory}/{FEAT_OPTS} if it holds"
            )


def _from_words(words: Sequence[str], kind: str) -> FeatureDescription:
    pairs = [word.removeprefix("--").partition("=")[::2] for word in words]
    options = {name: value or "true" for name, value in pairs}
    return FeatureDescription.make(options.pop("type", kind), options)
