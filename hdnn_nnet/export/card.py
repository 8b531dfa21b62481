"""The model card: a README.md that goes with every export, with figures and how to load each file."""

import os
from pathlib import Path
from typing import Any

from hdnn_nnet.atomic import write_text
from hdnn_nnet.export.manifest import read_manifest
from hdnn_nnet.nn.config import NetworkConfig

FILE = "README.md"

_VOSK = """\
    import json, sys, wave
    import vosk

    with wave.open(sys.argv[1]) as sound:  # one channel, 16 bits
        recogniser = vosk.KaldiRecognizer(vosk.Model("{directory}"), sound.getframerate())
        recogniser.AcceptWaveform(sound.readframes(sound.getnframes()))
    print(json.loads(recogniser.FinalResult())["text"])
"""

_ONNX = """\
    import sys
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession("{directory}/onnx/model.int8.onnx")
    features = np.load(sys.argv[1])  # (frames, {dim}) float32, computed as above
    (loglikes,) = session.run(None, {{"features": features}})  # (frames, {pdfs}), acoustic scores of a Kaldi decoder
    print(loglikes.shape)
"""

_KALDI = """\
    nnet3-latgen-faster --acoustic-scale=0.1 --beam=11 --lattice-beam=6 --word-symbol-table={directory}/graph/words.txt \\
      {directory}/am/final.mdl {directory}/graph/HCLG.fst scp:feats.scp ark:lattices.ark
"""

_OURS = """\
    hdnn-transcribe {options}{directory} recording.wav
"""


def write_card(directory: str | os.PathLike[str]) -> None:
    """Write `README.md` from the list of files of an export."""
    directory = Path(directory)
    write_text(directory / FILE, card(read_manifest(directory), str(directory)))


def card(manifest: dict[str, Any], directory: str) -> str:
    """The text; `directory` stands in the snippets."""
    model, files = manifest["model"], manifest["files"]
    config = NetworkConfig.from_json(model["network"], directory)
    kind = {"hdnn": "highway deep neural network", "dnn": "deep neural network"}[config.arch]
    lines = [
        f"# {config.name}: an acoustic model",
        "",
        f"A {kind} of {config.depth} layers of {config.width} units, {model['parameters']:,} parameters, that gives the "
        f"log-likelihoods of {config.num_pdfs} tied HMM states every frame from {config.left_context} frames before to "
        f"{config.right_context} frames after it. Exported by hdnn_nnet.",
        "",
        "## Training",
        "",
        f"- Criterion: {model['criterion']}; {model['training_hours']} hours of aligned speech.",
        f"- Data: {model['trained_on'] or 'not told (--trained-on)'}.",
    ]
    if model["adapted"]:
        lines.append(f"- Adapted: tensors of a file with SHA-256 {model['adapted'][:16]}... are baked in.")
    lines += [
        f"- Features: `{model['features']}` (options of Kaldi's compute-{model['features'].split()[0][7:]}-feats), as they are: "
        "global mean and variance are inside the model, no speaker is asked for.",
        "",
        "## Word error rate",
        "",
        *_word_errors(model),
        "",
        "## Files",
        "",
        "| file | bytes |",
        "|---|---|",
        *(f"| {name} | {entry['bytes']} |" for name, entry in files.items()),
        "",
        "`export.json` has their checksums; hdnn-transcribe refuses a directory in which one differs.",
        "",
        *_speed(model, manifest.get("measured", {})),
        "## Use",
        "",
        *_snippets(files, directory, config),
        "## Licence",
        "",
        model["licence"]
        or "Not told (--licence). A model may not be freer than its training data and lexicon: look at their licences.",
        "Vosk and Kaldi are under the Apache License 2.0, ONNX Runtime under the MIT License; none is part of this export.",
        "",
    ]
    return "\n".join(lines)


def _word_errors(model: dict[str, Any]) -> list[str]:
    wer = model.get("wer")
    if not wer or "dev" not in wer:
        return ["Not measured: there were no decoding results of these parameters in the model's directory."]
    more = f", {wer['eval']:.2f} % on the evaluation set with the same" if "eval" in wer else ""
    return [
        f"{wer['dev']:.2f} % on the development set ({wer['words']} words, LM weight {wer['lm_weight']}, word insertion penalty "
        f"{wer['penalty']}){more}, by the recipe's decoder before export.",
    ]


def _speed(model: dict[str, Any], measured: dict[str, Any]) -> list[str]:
    lines = ["## Speed and accuracy of the exported files", ""]
    if not measured:
        return [*lines, "Not measured (--check-data).", ""]
    lines += ["| runtime | utterances | WER % | real-time factor, one core |", "|---|---|---|---|"]
    lines += [
        f"| {runtime} | {m['utterances']} | {m['wer']:.2f} | {m['rtf']:.3f} |"
        for runtime, m in sorted(measured.items())
    ]
    return [*lines, "", "Audio to words, on the machine of the export.", ""]


def _snippets(files: dict[str, Any], directory: str, config: NetworkConfig) -> list[str]:
    values = {"directory": directory, "dim": config.feat_dim, "pdfs": config.num_pdfs}
    lines: list[str] = []
    if "am/final.mdl" in files:
        lines += ["Vosk, Python (`pip install vosk`):", "", "```python", *_code(_VOSK, values), "```", ""]
        lines += ["Kaldi:", "", "```sh", *_code(_KALDI, values), "```", ""]
    if "onnx/model.int8.onnx" in files:
        lines += [
            "ONNX Runtime, Python (`pip install onnxruntime`):",
            "",
            "```python",
            *_code(_ONNX, values),
            "```",
            "",
        ]
    runtimes = [("onnx/stream.int8.onnx", "--runtime onnx-int8 "), ("am/final.mdl", "--runtime vosk ")]
    options = next((option for name, option in runtimes if name in files), "")
    if "am/final.mdl" in files:
        lines += ["hdnn_nnet:", "", "```sh", *_code(_OURS, values | {"options": options}), "```", ""]
    return lines


def _code(text: str, values: dict[str, Any]) -> list[str]:
    return [line.removeprefix("    ") for line in text.format(**values).rstrip("\n").split("\n")]
