"""The espeak-ng library of the wheel espeakng-loader, called through ctypes.

The synthesiser seeds its breath noise by the clock and keeps state from one call to the next. With the seed set here,
the same calls in the same order in a fresh process give the same samples, so every meeting has a process of its own.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from hdnn_nnet.errors import HdnnError

from .config import SAMPLE_RATE
from .power import mean_of_squares

# From espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS, _INITIALIZE_DONT_EXIT = 0x0001, 0x8000
_CHARS_UTF8, _PHONEMES = 1, 0x100
_EVENT_LIST_TERMINATED, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_HEADROOM = 50  # volume in percent; some variants clip at 100
_CALIBRATION = "We should all look at the price of the new remote control."
VOICE_RMS = 0.1  # of every voice's samples; the variants differ by 18 dB on their own


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass
class Utterance:
    """One synthesised text. Times in seconds from its first sample."""

    samples: np.ndarray  # float32 (N,) at 16 kHz, RMS about VOICE_RMS
    words: list[tuple[int, float]]  # character position in the text (from 0) and onset
    phonemes: list[tuple[float, str]]  # onset and espeak's mnemonic; pauses begin with "_"
    end: float  # where the last sound ends


class Synthesiser:
    """espeak-ng with one voice at a time."""

    def __init__(self) -> None:
        try:
            import espeakng_loader

            self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
            data = str(espeakng_loader.get_data_path())
        except (ImportError, OSError) as error:
            raise HdnnError(f"cannot load espeak-ng ({error}); pip install espeakng-loader") from error
        flags = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_DONT_EXIT
        self._rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), flags)
        if self._rate <= 0:
            raise HdnnError(f"espeak-ng cannot read its data in {data}; reinstall espeakng-loader")
        self._library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.version = self._library.espeak_Info(None).decode()
        self._gains: dict[tuple[str, int, int, int], float] = {}
        self._gain = 1.0
        self._samples: list[np.ndarray] = []
        self._events: list[tuple[int, int, int, bytes]] = []
        self._callback = _Callback(self._receive)  # kept: C holds no reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type != _EVENT_LIST_TERMINATED:
            event = events[i]
            name = event.id.string if event.type == _EVENT_PHONEME else b""
            self._events.append((event.type, event.text_position, event.sample, name))
            i += 1
        return 0

    def set_voice(self, voice: str, rate: int, pitch: int, pitch_range: int) -> None:
        """Choose accent and variant (`gmw/en-US+f2`), words a minute, pitch and range (0-100, 50: as it is)."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise HdnnError(f"espeak-ng {self.version} has no voice {voice}")
        for parameter, value in ((_RATE, rate), (_VOLUME, _HEADROOM), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        key = (voice, rate, pitch, pitch_range)
        if key not in self._gains:
            self._gain = 1.0
            samples = self.say(_CALIBRATION).samples
            self._gains[key] = VOICE_RMS / float(np.sqrt(mean_of_squares(samples)))
        self._gain = self._gains[key]

    def say(self, text: str) -> Utterance:
        """Synthesise ASCII `text`, which may hold phonemes in double square brackets."""
        self._samples.clear()
        self._events.clear()
        data = text.encode("ascii")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        flags = _CHARS_UTF8 | _PHONEMES
        status = self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, flags, None, None)
        if status != 0 or not self._samples:
            raise HdnnError(f"espeak-ng returned {status} and no sound for {text!r}")
        samples = np.concatenate(self._samples).astype(np.float32) / 32768
        words = [
            (position - 1, sample / self._rate) for kind, position, sample, _ in self._events if kind == _EVENT_WORD
        ]
        phonemes = [
            (sample / self._rate, name.decode(errors="replace"))
            for kind, _, sample, name in self._events
            if kind == _EVENT_PHONEME
        ]
        end = len(samples) / self._rate
        for onset, name in reversed(phonemes):
            if not name.startswith("_"):
                break
            end = onset
        common = np.gcd(self._rate, SAMPLE_RATE)
        samples = resample_poly(samples, SAMPLE_RATE // common, self._rate // common).astype(np.float32)
        return Utterance(samples * np.float32(self._gain), words, phonemes, end)
