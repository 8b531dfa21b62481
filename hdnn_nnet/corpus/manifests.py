"""Manifests of lhotse (recordings and supervisions) as a corpus."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdnn_nnet.corpus.folder import UNKNOWN_SPEAKER
from hdnn_nnet.corpus.items import Item, LeftOut
from hdnn_nnet.errors import HdnnError


def _read(load: Any, path: Path) -> list[Any]:
    try:
        return list(load(path))
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    except Exception as error:  # whatever lhotse's parsers raise on a file that is no manifest
        raise HdnnError(f"{path}: lhotse cannot read it as a manifest ({error})") from error


def from_lhotse(recordings: Path, supervisions: Path, left_out: LeftOut) -> Iterator[Item]:
    """Utterances of two manifests, such as recordings.jsonl.gz and supervisions.jsonl.gz.

    Raises:
        HdnnError: manifests that cannot be read or do not belong together, or recordings that are no single file.
    """
    from lhotse import load_manifest

    table = {recording.id: recording for recording in _read(load_manifest, recordings)}
    for item in _read(load_manifest, supervisions):
        where = f"{supervisions}, {item.id}"
        recording = table.get(item.recording_id)
        if recording is None:
            raise HdnnError(f"{where}: recording {item.recording_id} is not in {recordings}")
        channel = item.channel if isinstance(item.channel, int) else item.channel[0]
        source = next((s for s in recording.sources if channel in s.channels), None)
        if source is None or source.type not in ("file", "command"):
            raise HdnnError(
                f"{where}: channel {channel} of recording {recording.id} is in no file; save it as one first"
            )
        if recording.transforms:
            left_out.add("recording with transforms of lhotse", where)
            continue
        audio = f"{source.source} |" if source.type == "command" else str(Path(source.source).resolve())
        whole = item.start <= 0 and abs(item.end - recording.duration) < 0.01 and len(source.channels) == 1
        yield Item(
            item.id,
            item.speaker or UNKNOWN_SPEAKER,
            item.text or "",
            audio,
            where,
            recording="" if whole else recording.id,
            start=None if whole else item.start,
            end=None if whole else item.end,
            channel=source.channels.index(channel) if len(source.channels) > 1 else None,
        )
