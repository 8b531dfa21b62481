"""Manifests of lhotse (recordings and supervisions) as a corpus."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdnn_nnet.corpus.folder import UNKNOWN_SPEAKER
from hdnn_nnet.corpus.items import Item, LeftOut
from hdnn_nnet.errors import HdnnError


def _read(load: Any, path: Path, kind: Any) -> list[Any]:
    try:
        found = load(path)
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    except Exception as error:  # whatever lhotse's parsers raise on a file that is no manifest
        raise HdnnError(f"{path}: lhotse cannot read it as a manifest ({error})") from error
    if not isinstance(found, kind):
        raise HdnnError(
            f"{path} holds a {type(found).__name__}, expected a {kind.__name__}; cuts are taken apart by lhotse cut decompose"
        )
    return list(found)


def from_lhotse(recordings: Path, supervisions: Path, left_out: LeftOut) -> Iterator[Item]:
    """Utterances of two manifests, such as recordings.jsonl.gz and supervisions.jsonl.gz.

    Raises:
        HdnnError: manifests that cannot be read or do not belong together, or recordings that are no single file.
    """
    from lhotse import RecordingSet, SupervisionSet, load_manifest

    table: dict[str, Any] = {}
    for recording in _read(load_manifest, recordings, RecordingSet):
        if recording.id in table:
            raise HdnnError(f"{recordings}: recording {recording.id} occurs twice; remove one")
        table[recording.id] = recording
    for item in _read(load_manifest, supervisions, SupervisionSet):
        where = f"{supervisions}, {item.id}"
        recording = table.get(item.recording_id)
        if recording is None:
            raise HdnnError(f"{where}: recording {item.recording_id} is not in {recordings}")
        channels = [item.channel] if isinstance(item.channel, int) else list(item.channel)
        channel = channels[0]
        source = next((s for s in recording.sources if channel in s.channels), None)
        if source is None or source.type not in ("file", "command"):
            raise HdnnError(
                f"{where}: channel {channel} of recording {recording.id} is in no file; save it as one first"
            )
        if recording.transforms:
            left_out.add("recording with transforms of lhotse", where)
            continue
        place = source.channels.index(channel)
        whole = item.start <= 0 and abs(item.end - recording.duration) < 0.01 and len(source.channels) == 1
        yield Item(
            item.id,
            item.speaker or UNKNOWN_SPEAKER,
            item.text or "",
            f"{source.source} |" if source.type == "command" else _absolute(Path(source.source), recordings.parent),
            where,
            recording="" if whole else recording.id,
            start=None if whole else max(0.0, item.start),
            end=None if whole else item.end,
            # Of several channels the first is taken, which is said.
            channel=None if len(source.channels) == 1 or (len(channels) > 1 and place == 0) else place,
        )


def _absolute(path: Path, folder: Path) -> str:
    """A path relative to the current directory, as lhotse has it, or to the manifest's."""
    return str(next((p for p in (path, folder / path) if p.is_file()), path).resolve())
