"""Options of feature extraction: those of Kaldi's compute-mfcc-feats and compute-fbank-feats."""

from collections.abc import Callable
from dataclasses import dataclass, make_dataclass

from hdnn_nnet.device.options import ForwardDevice
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import JobOptions, Options, argument, group, kaldi_bool, option
from hdnn_nnet.text import to_float, to_int

# Kaldi's option -> (group, attribute of kaldi-native-fbank, type)
FRAME: dict[str, tuple[str, Callable]] = {
    "sample-frequency": ("samp_freq", float),
    "frame-length": ("frame_length_ms", float),
    "frame-shift": ("frame_shift_ms", float),
    "preemphasis-coefficient": ("preemph_coeff", float),
    "remove-dc-offset": ("remove_dc_offset", kaldi_bool),
    "window-type": ("window_type", str),
    "round-to-power-of-two": ("round_to_power_of_two", kaldi_bool),
    "blackman-coeff": ("blackman_coeff", float),
    "snip-edges": ("snip_edges", kaldi_bool),
}
MEL: dict[str, tuple[str, Callable]] = {
    "num-mel-bins": ("num_bins", to_int),
    "low-freq": ("low_freq", float),
    "high-freq": ("high_freq", float),
}
COMMON: dict[str, tuple[str, Callable]] = {
    "use-energy": ("use_energy", kaldi_bool),
    "energy-floor": ("energy_floor", float),
    "raw-energy": ("raw_energy", kaldi_bool),
    "htk-compat": ("htk_compat", kaldi_bool),
}
OWN: dict[str, dict[str, tuple[str, Callable]]] = {
    "mfcc": {"num-ceps": ("num_ceps", to_int), "cepstral-lifter": ("cepstral_lifter", float)},
    "fbank": {"use-log-fbank": ("use_log_fbank", kaldi_bool), "use-power": ("use_power", kaldi_bool)},
}
#: this project's defaults where they differ from those of Kaldi's programs, besides no dither
DEFAULTS = {"mfcc": {"use-energy": "false"}, "fbank": {"num-mel-bins": "40"}}
_DATA = "with wav.scp and, if there, segments; gets feat_opts"
_PREFIX = "writes PREFIX.JOB.ark, PREFIX.JOB.scp, PREFIX.JOB.utt2num_frames and .utt2dur"


def _as_in_kaldi(names: tuple[str, ...]) -> type:
    fields = [(name.replace("-", "_"), str | None, option(None, "as in Kaldi", metavar="VALUE")) for name in names]
    made = make_dataclass("KaldiFeatureOptions", fields, bases=(Options,), frozen=True, kw_only=True)
    made.__doc__ = "Options of Kaldi's compute-mfcc-feats and compute-fbank-feats."
    return made


KaldiFeatureOptions = _as_in_kaldi(("dither", *FRAME, *MEL, *COMMON, *OWN["mfcc"], *OWN["fbank"]))


@dataclass(frozen=True, kw_only=True)
class Extraction(Options):
    """Extraction."""

    data_dir: str = argument(_DATA)
    prefix: str = argument(_PREFIX)
    type: str = option(
        "mfcc", "13 mel-frequency cepstral coefficients or 40 log-mel energies", choices=("mfcc", "fbank")
    )
    compress: bool = option(True, "compress as Kaldi's copy-feats does")
    job: JobOptions = group(JobOptions, "Job")
    kaldi: KaldiFeatureOptions = group(KaldiFeatureOptions)  # type: ignore[valid-type]  # made above


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(Options):
    """Encoder."""

    model: str = option("", "folder with a speech encoder as transformers saves it; needed", metavar="DIR")
    layer: int | None = option(
        None, "layer whose outputs are taken, from 1; 0: what the first one takes; default: last", at_least=0
    )
    layer_weights: str = option("", "instead: a factor for each layer from 0, with commas; their sum is taken")
    window: float = option(30.0, "seconds encoded at a time; what is longer is cut", at_least=2, at_most=30)
    overlap: float = option(2.0, "seconds that two windows share; each gives its half", at_least=0, at_most=10)
    pad: float | None = option(
        None, "Whisper: seconds of silence behind a window; few are faster; default: up to 30 s in all, as it was trained",
        at_least=0, at_most=30,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise HdnnError("--model must name a folder with a speech encoder")
        if self.overlap > self.window / 2:
            raise HdnnError(f"--overlap {self.overlap:g} is more than half of --window {self.window:g}")
        if self.layer_weights and self.layer is not None:
            raise HdnnError("give --layer or --layer-weights, not both")
        self.weights()

    def weights(self) -> list[float]:
        """The factors by layer; empty where one layer is taken.

        Raises:
            HdnnError: not numbers.
        """
        try:
            return [to_float(word) for word in self.layer_weights.split(",")] if self.layer_weights else []
        except ValueError as error:
            raise HdnnError(
                f"--layer-weights {self.layer_weights}: numbers with commas between are wanted ({error})"
            ) from error


@dataclass(frozen=True, kw_only=True)
class EncoderExtraction(Options):
    """Features of a speech encoder."""

    data_dir: str = argument(_DATA)
    prefix: str = argument(_PREFIX + ", .utt2aligned_frames")
    encoder: EncoderOptions = group(EncoderOptions)
    compress: bool = option(True, "compress as Kaldi's copy-feats does")
    job: JobOptions = group(JobOptions, "Job")
    compute: ForwardDevice = group(ForwardDevice)
