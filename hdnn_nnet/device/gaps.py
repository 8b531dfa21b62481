"""What a machine lacks, and what mends it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """Something missing: what, the command or step that mends it, and whether a run would end for it."""

    what: str
    remedy: str
    fatal: bool = True
