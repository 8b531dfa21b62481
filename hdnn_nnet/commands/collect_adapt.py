"""Complete a directory of adapted parameters after its jobs: index.json, and counts on stdout.

Fails when speakers of the data directory are missing, or when many utterances have labels of another length than their features.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Adapted parameters."""

    num_jobs: int = argument("jobs that wrote part.JOB.json", at_least=1)
    data: str = argument("data directory that was adapted to")
    dir: str = argument("directory of adapted parameters")
    max_unequal: float = option(0.1, "share of utterances with labels of another length", at_least=0, at_most=1)


EXAMPLE = "hdnn collect adapt 4 data/dev exp/hdnn/adapt_dev"
WRITES = "dir"


def main(options: Options) -> None:
    from collections import Counter
    from pathlib import Path
    from typing import Any

    from hdnn_nnet.adapt.store import write_index
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.data_dir import DataDir
    from hdnn_nnet.nn.config import read_json

    folder, data = Path(options.dir), DataDir(options.data)
    found: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    parts = [folder / f"part.{job}.json" for job in range(1, options.num_jobs + 1)]
    for part in parts:
        if not part.is_file():
            raise HdnnError(f"{part} does not exist; its job failed, see its log in {folder}/log")
        content = read_json(part)
        found |= content.pop("speakers")
        shared = content
    missing = [speaker for speaker in data.spk2utts if speaker not in found]
    if missing:
        raise HdnnError(f"{folder}: {len(missing)} speakers are missing, such as {missing[0]}; see {folder}/log")
    skipped: Counter[str] = Counter()
    for entry in found.values():
        skipped.update(entry["skipped"])
    if skipped["another length"] > options.max_unequal * len(data.utt2spk):
        raise HdnnError(
            f"{folder}: {skipped['another length']} of {len(data.utt2spk)} utterances have labels of another length than "
            f"their features in {options.data}; make the labels from these features"
        )
    speakers = {speaker: found[speaker] for speaker in data.spk2utts}
    write_index(folder, {**shared, "speakers": speakers})
    for part in parts:
        part.unlink()
    adapted = [entry for entry in speakers.values() if "file" in entry]
    text = f"{len(adapted)} of {len(speakers)} speakers adapted ({shared['labels']}, {shared['update']})"
    reasons = Counter(entry["reason"] for entry in speakers.values() if "reason" in entry)
    text += "".join(f", {count} not: {reason}" for reason, count in sorted(reasons.items()))
    text += "".join(f"; {count} utterances left out: {reason}" for reason, count in sorted(skipped.items()))
    frames = sum(entry["frames"] for entry in speakers.values())
    seconds = sum(entry["seconds"] for entry in speakers.values())
    size = max(((folder / entry["file"]).stat().st_size for entry in adapted), default=0)
    text += f"; {frames} frames, {seconds / len(speakers):.2f} s and {size / 1000:.0f} kB a speaker"
    print(text)
