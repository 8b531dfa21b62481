"""The house: imports point down only and in no circle, functions fit a screen, every option is stated once."""

import ast
import re
import runpy
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from hdnn_nnet.cli import COMMANDS, load
from hdnn_nnet.options import walk

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "hdnn_nnet"
#: rooms and single modules, lowest first; each may import from those before it (docs/architecture.md)
ROOMS = (
    *(
        "errors",
        "text",
        "processes",
        "atomic",
        "lock",
        "ragged",
        "progress",
        "options",
        "device",
        "kaldi",
        "lattice",
        "feats",
        "lang",
        "corpus",
        "nn",
        "graph",
        "align",
    ),
    *("gmm", "train", "decode", "sequence", "adapt", "score", "export", "runtime", "commands", "cli", "__main__"),
)
LONGEST = 80


def modules() -> dict[str, ast.Module]:
    """Dotted name -> syntax tree."""
    paths = sorted(PACKAGE.rglob("*.py"))
    names = (".".join(p.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__") for p in paths)
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in zip(names, paths, strict=True)}


MODULES = modules()


def imports(tree: ast.Module) -> Iterator[str]:
    """Modules of the package that a module imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            while name.startswith("hdnn_nnet.") and name not in MODULES:
                name = name.rpartition(".")[0]
            if name.startswith("hdnn_nnet"):
                yield name


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_place() -> None:
    assert {room(name) for name in MODULES} - {""} == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_no_import_runs_upwards(module: str) -> None:
    if module == "hdnn_nnet":  # the face of the package, imported lazily
        return
    wrong = [i for i in imports(MODULES[module]) if room(i) and ROOMS.index(room(i)) > ROOMS.index(room(module))]
    assert not wrong


def test_the_picture_shows_every_room_and_import() -> None:
    """docs/figures/rooms.png: imports point to lower floors, or to the left where neighbours are joined."""
    pytest.importorskip("matplotlib")
    floors = runpy.run_path(str(REPOSITORY / "docs/figures/make_figures.py"))["FLOORS"]
    place = {
        name.strip("/"): (len(floors) - number, column, joined)
        for number, (floor, joined) in enumerate(floors)
        for column, (names, _, _) in enumerate(floor)
        for name in names.split(", ")
    }
    assert place.keys() == set(ROOMS) - {"__main__"}
    for module, tree in MODULES.items():
        (floor, column, joined) = place.get(room(module), (99, 0, False))
        for imported in filter(None, map(room, imports(tree))):
            below, other, _ = place[imported]
            assert below < floor or (below == floor and (other < column and joined)) or imported == room(module), (
                f"{module} imports {imported}"
            )


def test_no_circle() -> None:
    graph = {name: {i for i in imports(tree) if i not in (name, "hdnn_nnet")} for name, tree in MODULES.items()}
    graph.pop("hdnn_nnet")
    # A package's face and its modules are one room: importing a module also runs the face.
    list(TopologicalSorter(graph).static_order())


def test_functions_fit_a_screen() -> None:
    long = [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= LONGEST
    ]
    assert not long


def test_defaults_of_training_options_are_not_repeated_in_the_steps() -> None:
    """A step states what is its own before it sources step.sh; all else is the program's, and is empty there if named."""
    commands = ("train ce", "train kd", "train smbr", "adapt")
    known = {field.name for command in commands for field in walk(load(command).Options)}
    for step in ("train_ce", "train_kd", "train_smbr", "adapt"):
        text = (REPOSITORY / "steps_py" / f"{step}.sh").read_text(encoding="utf-8").partition("\n. ")[0]
        stated = {name for name, value in re.findall(r"^([a-z_]+)=(\S*)", text, re.MULTILINE) if value}
        assert not stated & known


def test_a_leaf_has_one_name_on_a_command_line() -> None:
    for name in COMMANDS:
        module = load(name)
        if hasattr(module, "Options"):
            names = [field.name for field in walk(module.Options)]
            assert len(names) == len(set(names))
