"""Complete a directory of stored soft labels: post.scp of all jobs, and info.json with what is kept and its size.

Fails when utterances of the data directory are missing.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Soft labels."""

    num_jobs: int = argument("jobs that wrote post.JOB.scp and stats.JOB.json", at_least=1)
    data: str = argument("data directory that was forwarded")
    dir: str = argument("directory of soft labels")


EXAMPLE = "hdnn collect soft-labels 4 data/train exp/dnn/soft"
WRITES = "dir"


def main(options: Options) -> None:
    import json
    from pathlib import Path

    from hdnn_nnet.atomic import write_text
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.accounting import announced_utterances
    from hdnn_nnet.kaldi.script_table import read_scp
    from hdnn_nnet.nn.config import read_json
    from hdnn_nnet.train.soft_sources import CHECKSUMS

    folder = Path(options.dir)
    wanted = announced_utterances(options.data)
    lines: dict[str, str] = {}
    checksums: dict[str, str] = {}
    total = {"utterances": 0, "frames": 0, "entries": 0, "mass_sum": 0.0}
    lowest, shared, size = 1.0, {}, 0
    for job in range(1, options.num_jobs + 1):
        script, stats = folder / f"post.{job}.scp", folder / f"stats.{job}.json"
        if not script.is_file() or not stats.is_file():
            raise HdnnError(f"{script} or {stats} does not exist; its job failed, see {folder}/log")
        lines.update(read_scp(script))
        size += (folder / f"post.{job}.ark").stat().st_size
        content = read_json(stats)
        for key in total:
            total[key] += content[key]
        checksums |= content["checksums"]
        lowest = min(lowest, content["mass_min"])
        shared = {
            key: content[key]
            for key in ("num_pdfs", "pdfs", "mass", "temperature", "form", "frame_tolerance", "teachers")
        }
    missing = [utt for utt in wanted if utt not in lines]
    if missing:
        raise HdnnError(
            f"{len(missing)} of {len(wanted)} utterances have no soft labels, such as {missing[0]}; see {folder}/log"
        )
    write_text(folder / "post.scp", "".join(f"{utt} {lines[utt]}\n" for utt in wanted))
    write_text(folder / CHECKSUMS, "".join(f"{utt} {checksums[utt]}\n" for utt in wanted))
    frames = total["frames"]
    info = shared | {
        "checksums": CHECKSUMS,
        "utterances": total["utterances"],
        "frames": frames,
        "kept_mass": total["mass_sum"] / frames,
        "lowest_kept_mass": lowest,
        "pdfs_per_frame": total["entries"] / frames,
        "bytes": size,
        "bytes_per_frame": size / frames,
    }
    # Written last: a directory without it is not taken for stored soft labels.
    write_text(folder / "info.json", json.dumps(info, indent=1) + "\n")
    print(
        f"{folder}: soft labels of {total['utterances']} utterances, {frames} frames; {info['pdfs_per_frame']:.1f} of "
        f"{info['num_pdfs']} pdfs a frame hold a mass of {info['kept_mass']:.4f} (lowest {lowest:.4f}) at temperature "
        f"{info['temperature']:g}; {info['bytes_per_frame']:.0f} bytes a frame, {size / 1e6:.1f} MB"
    )
