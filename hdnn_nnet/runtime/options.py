"""Options of recognisers; None and "" stand for what the directory says."""

from dataclasses import dataclass

from hdnn_nnet.decode.options import SEARCHES
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.options import FeatureKindOptions
from hdnn_nnet.nn.options import WEIGHTS
from hdnn_nnet.options import Options, argument, group, option

RUNTIMES = ("torch", "onnx", "onnx-int8", "vosk")


@dataclass(frozen=True, kw_only=True)
class Search(Options):
    """Search, as in the mini recipe."""

    beam: float = option(11.0, "search beam", above=0)
    lattice_beam: float = option(6.0, "lattice beam", above=0)
    max_active: int = option(2000, "limit of active states", at_least=1)
    search: str = option(
        "auto", "what searches: k2, numpy, or auto: k2 for trained models, where it can be imported, else numpy", choices=SEARCHES
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pauses(Options):
    """Pauses.

    Audio is cut in the middle of the first pause of `pause` seconds after `shortest` seconds of a piece; a piece of
    `longest` seconds is cut at its last silent frame, or where it is.
    """

    pause: float = option(0.4, "seconds of silence that end a piece", above=0)
    shortest: float = option(2.0, "seconds before a pause may end a piece", at_least=0)
    longest: float = option(20.0, "seconds after which a piece ends without a pause", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest <= self.pause:
            raise HdnnError(f"--longest {self.longest:g} must be more than --pause {self.pause:g}")


@dataclass(frozen=True, kw_only=True)
class RecogniserOptions(Options):
    """Model."""

    runtime: str = option("", "default: what the directory is for", choices=("", *RUNTIMES))
    graph_dir: str = option("", "decoding graph; default: the model's own, or the one beside it")
    weights: str = option(WEIGHTS, "weights file of a trained model")
    params: str = option("", "tensors that replace the model's, such as one speaker's gates")
    features: FeatureKindOptions = group(FeatureKindOptions)
    lm_weight: float | None = option(None, "default: the best of decode_dev, else 10", above=0)
    word_ins_penalty: float | None = option(None, "default: the best of decode_dev, else 0")
    search: Search = group(Search)
    pauses: Pauses = group(Pauses)
    num_threads: int = option(1, "CPU threads of the network", at_least=1)


@dataclass(frozen=True, kw_only=True)
class Transcription(Options):
    """Transcription."""

    model_dir: str = argument("a trained model, or an export")
    audio: tuple[str, ...] = argument("sound files; -: stdin, WAV or raw 16-bit samples of one channel", nargs="+")
    recogniser: RecogniserOptions = group(RecogniserOptions)
    format: str = option(
        "txt", "of the transcripts; json (an object a line and file) and ctm have times and confidences of words, srt subtitles",
        choices=("txt", "json", "srt", "ctm"),
    )  # fmt: skip
    chunk: float = option(0.2, "seconds of audio that are taken at a time", at_least=0.01)
