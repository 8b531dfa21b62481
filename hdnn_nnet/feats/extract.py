"""MFCC and log-mel features by kaldi-native-fbank, with the options of compute-mfcc-feats and compute-fbank-feats."""

import zlib

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.options import COMMON, DEFAULTS, FRAME, MEL, OWN
from hdnn_nnet.text import one_line, to_float


class FeatureExtractor:
    """Computes features of one kind from samples.

    Args:
        kind: `mfcc` (13 coefficients, C0 instead of the energy) or `fbank` (40 log-mel energies).
        options: options of Kaldi's program of that kind, name (without `--`) -> value as text; they go over
            the defaults, which are Kaldi's but for: use-energy false, 40 mel bins for fbank, and no dither.
    """

    def __init__(self, kind: str, options: dict[str, str] | None = None) -> None:
        import kaldi_native_fbank  # trainings, which only compare descriptions of features, do without

        if kind not in OWN:
            raise HdnnError(f"features of type {kind!r}: only mfcc and fbank can be computed")
        self.kind = kind
        self.dither = 0.0
        self.options = kaldi_native_fbank.MfccOptions() if kind == "mfcc" else kaldi_native_fbank.FbankOptions()
        self.options.frame_opts.dither = 0.0
        groups = (
            (self.options.frame_opts, FRAME),
            (self.options.mel_opts, MEL),
            (self.options, {**COMMON, **OWN[kind]}),
        )
        for name, text in {**DEFAULTS[kind], **(options or {})}.items():
            if name == "dither":
                self.dither = _number(name, text)
                if self.dither < 0:
                    raise HdnnError(f"--dither={text}: must be at least 0")
                continue
            target = next(((group, known[name]) for group, known in groups if name in known), None)
            if target is None:
                raise HdnnError(f"--{name}: not an option of {kind} features here; remove it from the configuration")
            group, (attribute, convert) = target
            try:
                value = convert(text)
                if isinstance(value, float):
                    _number(name, text)
                setattr(group, attribute, value)
            except HdnnError:
                raise
            except Exception as error:  # argparse, ValueError and pybind's TypeError
                raise HdnnError(f"--{name}={text}: bad value ({error})") from error
        self._class = kaldi_native_fbank.OnlineMfcc if kind == "mfcc" else kaldi_native_fbank.OnlineFbank
        self._check()

    def _check(self) -> None:
        """Refuse what the package would answer with an exception of its own, or with a crash."""
        frame, bins = self.options.frame_opts, self.options.mel_opts.num_bins
        ceps = self.options.num_ceps if self.kind == "mfcc" else 1
        for name, value, least in (
            ("sample-frequency", frame.samp_freq, 1),
            ("frame-shift (in samples)", int(frame.samp_freq * frame.frame_shift_ms / 1000), 1),
            ("frame-length (in samples)", int(frame.samp_freq * frame.frame_length_ms / 1000), 2),
            ("num-mel-bins", bins, 3),
            ("num-ceps", ceps, 1),
        ):
            if value < least:
                raise HdnnError(f"--{name} must be at least {least}, not {value:g}")
        if ceps > bins:
            raise HdnnError(f"--num-ceps {ceps} is more than the {bins} of --num-mel-bins")
        if not 0 <= frame.preemph_coeff <= 1:
            raise HdnnError(f"--preemphasis-coefficient must be between 0 and 1, not {frame.preemph_coeff:g}")
        try:
            self._class(self.options)
        except Exception as error:
            raise HdnnError(f"{self.kind} features cannot be computed with these options: {one_line(error)}") from error

    @property
    def dim(self) -> int:
        """Columns of the features."""
        return self._class(self.options).dim

    @property
    def rate(self) -> float:
        """Sample rate, per second, that the audio must have."""
        return self.options.frame_opts.samp_freq

    @property
    def frame_shift(self) -> float:
        """Seconds between frames."""
        return self.options.frame_opts.frame_shift_ms / 1000.0

    def __call__(self, samples: np.ndarray, rate: int, key: str = "") -> np.ndarray:
        """Features of one utterance, float32, shape (T, D).

        Args:
            samples: shape (n,), in the range of 16-bit integers.
            rate: their sample rate; must be that of the options.
            key: seeds the dither, so that an utterance gets the same features in every run and job layout.
        """
        wanted = self.options.frame_opts.samp_freq
        if rate != wanted:
            raise HdnnError(
                f"utterance {key}: sample rate {rate}, but the features are configured for {wanted:g}; "
                "resample in wav.scp (sox ... -r 16000 ... |) or set --sample-frequency"
            )
        if self.dither:
            noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(len(samples), dtype=np.float32)
            samples = samples + np.float32(self.dither) * noise
        stream = FeatureStream(self)
        frames = stream.accept(samples)
        rest = stream.finish()
        return np.concatenate([frames, rest]) if len(rest) else frames


def _number(name: str, text: str) -> float:
    try:
        return to_float(text)
    except ValueError as error:
        raise HdnnError(f"--{name}={text}: bad value ({error})") from error


class FeatureStream:
    """Features of audio that comes piece by piece: all rows together are those of the whole.

    Dither is not added: it is drawn for whole utterances.
    """

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.rate = extractor.rate
        self._computer = extractor._class(extractor.options)
        self._done = 0

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """The next samples, shape (n,), in the range of 16-bit integers; gives the frames now complete, (m, D) float32."""
        self._computer.accept_waveform(self.rate, samples)
        return self._new_frames()

    def finish(self) -> np.ndarray:
        """No more samples; gives the frames left, which there are only without `--snip-edges`."""
        self._computer.input_finished()
        return self._new_frames()

    def _new_frames(self) -> np.ndarray:
        frames = [self._computer.get_frame(index) for index in range(self._done, self._computer.num_frames_ready)]
        if not frames:
            return np.empty((0, self._computer.dim), dtype=np.float32)
        matrix = np.stack(frames)
        # The frames are views of what `pop` frees: they are copied first.
        self._done += len(frames)
        self._computer.pop(len(frames))
        return matrix
