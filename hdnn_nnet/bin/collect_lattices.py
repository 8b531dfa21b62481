"""Complete a directory of lattices in uncompressed archives: lat.scp of all jobs in data order, model and tree.

Fails when more than a given share of the utterances has no lattice.
"""

from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.decode.completeness import require_lattices
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.directory import copy_files
from hdnn_nnet.kaldi.lattice_table import read_lattice
from hdnn_nnet.kaldi.tables import read_scp

PROGRAM = "hdnn-collect-lattices"


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument("--max-missing", type=float, default=0.05, help="share of utterances that may have no lattice")
    parser.add_argument("num_jobs", type=int, help="jobs that wrote lat.JOB.ark and lat.JOB.scp")
    parser.add_argument("data_dir", help="data directory that was decoded")
    parser.add_argument("src_dir", help="model directory")
    parser.add_argument("lat_dir", help="directory of the lattices")
    args = parser.parse_args(argv)
    folder = Path(args.lat_dir)
    lines: dict[str, str] = {}
    problems: list[str] = []
    for job in range(1, args.num_jobs + 1):
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
    wanted = read_scp(Path(args.data_dir) / "feats.scp")
    remedy = f"see {folder}/log, widen --beam, or allow more by --max-missing"
    require_lattices(folder, wanted, lines, problems, args.max_missing, remedy)
    copy_files(Path(args.src_dir), folder, ["final.mdl", "tree", "phones.txt"])
    # Written last: a directory with lat.scp is complete.
    found = [utterance for utterance in wanted if utterance in lines]
    write_text(folder / "lat.scp", "".join(f"{utterance} {lines[utterance]}\n" for utterance in found))
    size = sum((folder / f"lat.{job}.ark").stat().st_size for job in range(1, args.num_jobs + 1))
    print(f"{len(found)} of {len(wanted)} utterances have lattices, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
