"""Complete a directory of lattices in uncompressed archives: lat.scp of all jobs in data order, model and tree.

Fails when more than a given share of the utterances has no lattice.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Lattices."""

    num_jobs: int = argument("jobs that wrote lat.JOB.ark and lat.JOB.scp", at_least=1)
    data_dir: str = argument("data directory that was decoded")
    src_dir: str = argument("model directory")
    lat_dir: str = argument("directory of the lattices")
    max_missing: float = option(0.05, "share of utterances that may have no lattice", at_least=0, at_most=1)


EXAMPLE = "hdnn collect lattices 4 data/train exp/hdnn exp/hdnn_denlats"
WRITES = "lat_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.atomic import copy_files, write_text
    from hdnn_nnet.decode.completeness import require_lattices
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.accounting import announced_utterances
    from hdnn_nnet.kaldi.script_table import read_scp
    from hdnn_nnet.lattice.table import read_lattice

    folder = Path(options.lat_dir)
    lines: dict[str, str] = {}
    problems: list[str] = []
    for job in range(1, options.num_jobs + 1):
        script = folder / f"lat.{job}.scp"
        if not script.is_file():
            problems.append(f"{script} does not exist; its job failed")
            continue
        part = read_scp(script)
        try:
            if part:
                read_lattice(list(part.values())[-1])  # the archive is whole
        except HdnnError as error:
            problems.append(str(error))
            part.popitem()
        lines.update(part)
    wanted = announced_utterances(options.data_dir)
    remedy = f"see {folder}/log, widen --beam, or allow more by --max-missing"
    require_lattices(folder, wanted, lines, problems, options.max_missing, remedy)
    copy_files(Path(options.src_dir), folder, ["final.mdl", "tree", "phones.txt"])
    # Written last: a directory with lat.scp is complete.
    found = [utterance for utterance in wanted if utterance in lines]
    write_text(folder / "lat.scp", "".join(f"{utterance} {lines[utterance]}\n" for utterance in found))
    size = sum((folder / f"lat.{job}.ark").stat().st_size for job in range(1, options.num_jobs + 1))
    print(f"{len(found)} of {len(wanted)} utterances have lattices, {size / 1e6:.1f} MB")
