"""The list of an export's files with their checksums, so that a damaged or mixed-up directory is refused before it is used."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import read_json

FILE = "export.json"
FORMAT = 1
#: entries that tell one model from another; the others (licence, WER ...) may be added later
IDENTITY = ("network", "weights", "adapted", "features")
#: what each runtime reads of an export
NEEDED = {
    "onnx": ("onnx/stream.onnx", "am/final.mdl", "graph/", "conf/"),
    "onnx-int8": ("onnx/stream.int8.onnx", "am/final.mdl", "graph/", "conf/"),
    "vosk": ("am/final.mdl", "graph/", "conf/"),
}


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_manifest(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of `export.json`.

    Raises:
        HdnnError: missing, damaged, or of another version.
    """
    path = Path(directory) / FILE
    content = read_json(path)
    if (
        not isinstance(content, dict)
        or content.get("format") != FORMAT
        or not {"model", "files", "measured"} <= content.keys()
    ):
        raise HdnnError(f"{path} is no list of an export of format {FORMAT}; export the model again")
    return content


def update_manifest(directory: str | os.PathLike[str], model: dict[str, Any], files: list[str]) -> None:
    """Add `files` (paths in `directory`) to its list; an export of another model there is forgotten.

    So is what was measured with files that are others now.

    Args:
        model: what the files are of; entries that are empty leave what an earlier export of the same model said.
    """
    directory = Path(directory)
    listed: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    if (directory / FILE).is_file():
        before = read_manifest(directory)
        if all(before["model"].get(key) == model.get(key) for key in IDENTITY):
            model = {**before["model"], **{key: value for key, value in model.items() if value}}
            listed = {name: entry for name, entry in before["files"].items() if (directory / name).is_file()}
            measured = before["measured"]
    for name in files:
        path = directory / name
        entry = {"bytes": path.stat().st_size, "sha256": checksum(path)}
        if listed.get(name) != entry:
            measured = {key: value for key, value in measured.items() if not name.startswith(NEEDED.get(key, ()))}
        listed[name] = entry
    _write(directory, {"format": FORMAT, "model": model, "files": dict(sorted(listed.items())), "measured": measured})


def add_measured(directory: str | os.PathLike[str], runtime: str, figures: dict[str, float]) -> None:
    """Keep what was measured with a runtime, for the model card."""
    content = read_manifest(directory)
    content["measured"][runtime] = figures
    _write(Path(directory), content)


def _write(directory: Path, content: dict[str, Any]) -> None:
    write_text(directory / FILE, json.dumps(content, indent=2) + "\n")


def check_files(directory: str | os.PathLike[str], *prefixes: str) -> list[str]:
    """Compare the listed files whose path begins with one of `prefixes` with their checksums; gives their paths.

    Raises:
        HdnnError: no such file is listed, or one is missing or has changed.
    """
    directory = Path(directory)
    files = read_manifest(directory)["files"]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in files):
            raise HdnnError(f"{directory} holds no {prefix.rstrip('/')}; export the model with it")
    chosen = [name for name in files if name.startswith(prefixes)]
    for name in chosen:
        path = directory / name
        if not path.is_file():
            raise HdnnError(f"{path} does not exist; export the model again")
        if path.stat().st_size != files[name]["bytes"] or checksum(path) != files[name]["sha256"]:
            raise HdnnError(f"{path} is not the file that was exported (damaged or exchanged); export the model again")
    return chosen
