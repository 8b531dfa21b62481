"""Complete a directory of adapted parameters after its jobs: index.json, and counts on stdout.

Fails when speakers of the data directory are missing, or when many utterances have labels of another length than their features.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdnn_nnet.adapt.store import write_index
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.nn.config import read_json

PROGRAM = "hdnn-collect-adapt"


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument(
        "--max-unequal", type=float, default=0.1, help="share of utterances with labels of another length"
    )
    parser.add_argument("num_jobs", type=int, help="jobs that wrote part.JOB.json")
    parser.add_argument("data", help="data directory that was adapted to")
    parser.add_argument("dir", help="directory of adapted parameters")
    args = parser.parse_args(argv)
    folder, data = Path(args.dir), DataDir(args.data)
    found: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    parts = [folder / f"part.{job}.json" for job in range(1, args.num_jobs + 1)]
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
    if skipped["another length"] > args.max_unequal * len(data.utt2spk):
        raise HdnnError(
            f"{folder}: {skipped['another length']} of {len(data.utt2spk)} utterances have labels of another length than "
            f"their features in {args.data}; make the labels from these features"
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
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
