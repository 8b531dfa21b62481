"""Files of lattices for k2: one safetensors file for any number of lattices, as `k2_tensors` lays them out."""

import json
import os
from collections.abc import Iterable, Iterator

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.k2_tensors import from_tensors, to_tensors
from hdnn_nnet.lattice.types import AnyLattice
from hdnn_nnet.text import words

_REMEDY = 'save it with metadata={"keys": json.dumps(keys)}, one key an FSA'


def write_k2(
    path: str | os.PathLike[str],
    lattices: Iterable[tuple[str, AnyLattice]],
    lm_scale: float = 1.0,
    acoustic_scale: float = 1.0,
) -> int:
    """Write lattices of one type atomically; their keys are in the file's metadata (`keys`, a JSON list). Gives their number.

    Raises:
        HdnnError: as `to_tensors`.
    """
    table = list(lattices)
    try:
        tensors = to_tensors([lattice for _, lattice in table], lm_scale, acoustic_scale)
    except HdnnError as error:
        raise HdnnError(f"{path}: {error}") from error
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"keys": json.dumps([key for key, _ in table])})
    except SafetensorError as error:
        raise HdnnError(f"{path}: cannot write it ({error}); is the disk full?") from error
    return len(table)


def read_k2(path: str | os.PathLike[str]) -> Iterator[tuple[str, AnyLattice]]:
    """Yield `(key, lattice)` from a file of `write_k2`, or one of k2 FSAs with `keys` in its metadata.

    Raises:
        HdnnError: missing or damaged file, no keys, or FSAs that are no lattices.
    """
    try:
        with safe_open(str(path), "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is no dict
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    except (SafetensorError, OSError) as error:
        raise HdnnError(f"{path} is damaged or no safetensors file ({error}); write it again") from error
    try:
        keys = json.loads(metadata["keys"])
    except (KeyError, ValueError) as error:
        raise HdnnError(f"{path} holds no keys; {_REMEDY}") from error
    lattices = from_tensors(tensors, str(path))
    if not isinstance(keys, list) or len(keys) != len(lattices):
        raise HdnnError(f"{path} has {len(lattices)} FSAs, but not as many keys; {_REMEDY}")
    if bad := [key for key in keys if not isinstance(key, str) or words(key) != [key]]:
        raise HdnnError(f"{path}: {bad[0]!r} is no key (one word) of a Kaldi table; {_REMEDY}")
    yield from zip(keys, lattices, strict=True)
