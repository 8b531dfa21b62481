"""torchrun for the recipe: `hdnn torchrun --nproc_per_node=2 train ce ...` runs `hdnn train ce ...` in two processes.

In a job of Slurm or GridEngine that has several machines, it starts itself on each of them; they meet at a free port of the
first, from the scheduler's own list of hosts (docs/clusters.md). On one machine it is `torchrun --standalone`. With
--standalone, --nnodes, --node_rank, --master_addr or a rendezvous option it is torchrun as it stands. Options of torchrun are
written --name=value; `torchrun --help` lists them.
"""

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("--help", "-h"):
        print(__doc__, end="")
        return 0 if argv else 1
    from hdnn_nnet.train.launch import launch

    return launch(argv)
