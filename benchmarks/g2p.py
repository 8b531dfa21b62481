"""Letter-to-sound compared: words of CMUdict held out, all at once, from what the others are trained on or may look up.

    python3 benchmarks/g2p.py [--seed 1] [--words FILE] [--modules old_rules.py] [--only "espeak-ng"]

Candidates are hdnn_nnet/lang/g2p.py, the modules named by --modules (each with guess(word, known), as ours), espeak-ng by
its wheel and, where they are installed, g2p-en and phonetisaurus. A word is right if it equals any listed pronunciation; phone
errors are counted against the closest. Stress is left out, as in the lexicon. Intervals of 95 % come from 1000 bootstrap samples
of words, the same for all. Every candidate has a process of its own. Times are CPU times (phonetisaurus hides some of its own);
loading includes training, the peak of memory CMUdict.
"""

import ctypes
import importlib.util
import logging
import os
import random
import re
import resource
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace

import numpy as np

from hdnn_nnet.cli import script
from hdnn_nnet.lang import g2p
from hdnn_nnet.lang.g2p import Pron
from hdnn_nnet.lang.lexicon import cmudict_prons
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option

log = logging.getLogger(__name__)

# espeak-ng's mnemonics for American English in CMUdict's phones.
ESPEAK = """
p P, b B, t T, t# T, t2 T, ? T, d D, k K, g G, f F, v V, T TH, D DH, s S, z Z, S SH, Z ZH, h HH, x K, tS CH, dZ JH, m M,
n N, n- AH N, N NG, l L, l# L, @L AH L, r R, j Y, w W, a AE, aa AE, 0 AA, A: AA, A@ AA R, E EH, e@ EH R, I IH, I2 IH, I# IH,
i IY, i: IY, i@ IY AH, i@3 IH R, O: AO, O2 AO, O AO, O@ AO R, o@ AO R, o OW, U UH, U@ UH R, u: UW, V AH, @ AH, a# AH, @- AH,
3 ER, 3: ER, eI EY, aI AY, aI@ AY AH, aI3 AY ER, OI OY, oU OW, aU AW, A~ AA N
"""

Known = Mapping[str, Sequence[Pron]]
Guesses = list[Pron]


def load(path: Path) -> ModuleType:
    """A module from its file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_module(path: Path, known: Known) -> Callable[[list[str]], Guesses]:
    """guess() of a module."""
    guess = load(path).guess
    guess("BLORP", known)  # trains, if it has to
    return lambda words: [guess(word, known) or () for word in words]


def espeak() -> Callable[[list[str]], Guesses]:
    """The American voice; its dictionary of exceptions is in use."""
    import espeakng_loader

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    to_phonemes = library.espeak_TextToPhonemes
    to_phonemes.restype = ctypes.c_char_p
    assert library.espeak_Initialize(2, 0, str(espeakng_loader.get_data_path()).encode(), 0x8000) > 0
    assert library.espeak_SetVoiceByName(b"gmw/en-US") == 0
    table = {
        name: phones.split() for name, phones in (entry.split(" ", 1) for entry in re.split(r",\s+", ESPEAK.strip()))
    }

    def one(word: str) -> Pron:
        text = ctypes.c_char_p(word.lower().encode())
        names: list[str] = []
        while text.value:
            names += to_phonemes(ctypes.byref(text), 1, ord("_") << 8).decode().split("_")
        return tuple(phone for name in names for phone in table.get(name.strip("',"), ()))

    return lambda words: [one(word) for word in words]


def g2p_en() -> Callable[[list[str]], Guesses]:
    """The network alone: the package looks words up in CMUdict first, from nltk's data, which must be downloaded."""
    import g2p_en.g2p  # type: ignore[import-not-found]  # only where it is installed

    g2p_en.g2p.cmudict = SimpleNamespace(dict=dict)
    network = g2p_en.g2p.G2p()
    return lambda words: [tuple(p.rstrip("012") for p in network.predict(word.lower())) for word in words]


def phonetisaurus(known: Known) -> Callable[[list[str]], Guesses]:
    """Joint n-grams up to 8, by the wheel's programs."""
    from phonetisaurus import predict, train  # type: ignore[import-not-found]  # only where it is installed

    folder = TemporaryDirectory()
    model = Path(folder.name) / "model.fst"
    train({word: list(map(list, prons)) for word, prons in known.items() if re.fullmatch("[A-Z']+", word)}, model)

    def all_of(words: list[str]) -> Guesses:
        assert folder
        found = {word: tuple(phones) for word, phones in predict(words, model)}
        return [found.get(word, ()) for word in words]

    return all_of


def cpu_seconds() -> float:
    """Of this process and the programs that it has run."""
    return sum(os.times()[:4])


def measure(name: str, words: list[str]) -> tuple[Guesses, float, float, float]:
    """Guesses, seconds to load, words a second and the peak of memory in megabytes."""
    held_out = set(words)
    known = {word: prons for word, prons in cmudict_prons().items() if word not in held_out}
    start = cpu_seconds()
    makers = {"espeak-ng": espeak, "g2p-en, network": g2p_en, "phonetisaurus": lambda: phonetisaurus(known)}
    pronounce = makers[name]() if name in makers else by_module(Path(name), known)
    loaded = cpu_seconds()
    guesses = pronounce(words)
    done = cpu_seconds()
    own = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    peak = max(int(own[1]) if own else 0, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    return guesses, loaded - start, len(words) / max(done - loaded, 0.01), peak / 1024  # os.times counts hundredths


def bootstrap(words: list[str], guesses: Guesses) -> np.ndarray:
    """(2, 1001) per cent of words right and of phones wrong: of all words, then of the samples, the same for every candidate."""
    from kaldialign import edit_distance

    closest = [
        min((edit_distance(pron, guess)["total"], len(pron)) for pron in cmudict_prons()[word])
        for word, guess in zip(words, guesses, strict=True)
    ]
    errors, lengths = np.array(closest).T
    draws = np.random.default_rng(1).integers(len(words), size=(1000, len(words)))
    samples = [np.arange(len(words)), *draws]
    return 100 * np.array([((errors[s] == 0).mean(), errors[s].sum() / lengths[s].sum()) for s in samples]).T


def interval(values: np.ndarray) -> str:
    """The first value, and 95 % of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:.1f} ({low:.1f} to {high:.1f})"


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Comparison."""

    seed: int = option(1, "of the draw of the tenth that is held out", at_least=0)
    words: str = option("", "hold out the words of this file instead, those that CMUdict has")
    modules: tuple[str, ...] = option((), "files of modules like ours, with commas")
    only: str = option("", "a part of the name of the candidates to measure")


def main(options: Options) -> None:
    words = sorted(word for word in cmudict_prons() if word.isalpha() and word.isascii() and len(word) > 3)
    if options.words:
        words = sorted(set(words) & set(Path(options.words).read_text(encoding="utf-8").upper().split()))
    else:
        words = sorted(random.Random(options.seed).sample(words, len(words) // 10))
    names = [str(g2p.__file__), *options.modules, "espeak-ng"]
    for module, name in (("g2p_en", "g2p-en, network"), ("phonetisaurus", "phonetisaurus")):
        if importlib.util.find_spec(module):
            names.append(name)
        else:
            log.warning("%s is not installed: left out", module)
    print(
        f"| {len(words)} words | words right, % | behind the first | phone errors, % | words/s | load, s | peak, MB |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    first = None
    for name in names:
        title = Path(name).stem
        if options.only not in title:
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            guesses, seconds, speed, megabytes = pool.submit(measure, name, words).result()
        right, wrong = bootstrap(words, guesses)
        first = right if first is None else first
        figures = [title, interval(right), interval(first - right), interval(wrong)]
        print(f"| {' | '.join(figures)} | {speed:.0f} | {seconds:.1f} | {megabytes:.0f} |", flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/g2p.py", __doc__ or "")
