"""Programs of local/ and benchmarks/ called from tests."""

from collections.abc import Sequence
from types import ModuleType

from hdnn_nnet.options import parse


def run_script(module: ModuleType, argv: Sequence[str]) -> int:
    """Run a script's `main` with the words of a command line; gives its status."""
    return module.main(parse(module.Options, argv, prog=module.__name__)) or 0
