"""Ranges of rows and columns after an entry of a script file, `feats.ark:123[0:99,2:4]`, by Kaldi's rule."""

import re
from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError

#: rows that an end may lie after the last one: lengths of segments are rounded (util/kaldi-holder.cc)
TOLERANCE = 3

_BRACKETS = re.compile(r"([^\[]+)\[([^\[]+)\]", re.DOTALL)
_RANGE = re.compile(r"(?::|(\d+):(\d+))(?:,(?::|(\d+):(\d+)))?", re.ASCII)


@dataclass(frozen=True)
class MatrixRange:
    """Rows and columns, each as (first, last) with the last one included, or None for all.

    Source: ParseMatrixRangeSpecifier and ExtractObjectRange of Kaldi's util/kaldi-holder.cc.
    """

    rows: tuple[int, int] | None
    columns: tuple[int, int] | None

    def __str__(self) -> str:
        parts = [":" if part is None else f"{part[0]}:{part[1]}" for part in (self.rows, self.columns)]
        return f"[{','.join(parts)}]"

    def clips(self, rows: int) -> bool:
        """Whether the range ends after the last of `rows` rows."""
        return self.rows is not None and self.rows[1] >= rows

    def slices(self, rows: int, columns: int) -> tuple[slice, slice]:
        """What to take of a matrix of `rows` and `columns`.

        Raises:
            HdnnError: rows that end TOLERANCE or more after the last, other columns than there are, an end before its begin.
        """
        first, last = self.rows or (0, rows - 1)
        left, right = self.columns or (0, columns - 1)
        if self.rows and not (first <= last < rows + TOLERANCE and first <= rows):
            raise HdnnError(f"no rows {first}:{last} in a matrix of {rows}; regenerate the scp")
        if self.columns and not left <= right < columns:
            raise HdnnError(f"no columns {left}:{right} in a matrix of {columns}; regenerate the scp")
        return slice(first, min(last + 1, rows)), slice(left, right + 1)


def split_range(value: str) -> tuple[str, MatrixRange | None]:
    """`name[rows,columns]` to the name and the range, None where there is none.

    Raises:
        HdnnError: brackets at the end that hold no range; both numbers must be there, or `:` alone for all.
    """
    if not value.endswith("]"):
        return value, None
    brackets = _BRACKETS.fullmatch(value)
    match = _RANGE.fullmatch(brackets.group(2)) if brackets else None
    if brackets is None or match is None:
        raise HdnnError(f"{value}: expected a range such as [0:99] or [:,2:4] at the end")
    first, last, left, right = (None if number is None else int(number) for number in match.groups())
    rows = None if first is None or last is None else (first, last)
    columns = None if left is None or right is None else (left, right)
    return brackets.group(1), MatrixRange(rows, columns)
