"""Which room may import which: the arrows that CONTRIBUTING.md draws, with every import that a function makes too."""

import ast
import tomllib
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"keras_mobilenets": "", "training": "training.", "tflite": "tflite."}

FOUNDATION = {
    "errors",
    "files",
    "lock",
    "plurals",
    "processors",
    "progress",
    "tensors",
    "variant",
}  # modules that every room may import
CORE = {
    "waveforms": set(),
    "blocks": {"waveforms"},
    "graphs": set(),
    "pixels": {"graphs"},
    "weights": {"blocks", "graphs"},
    "models": {"blocks", "graphs", "pixels", "waveforms", "weights"},
    "costs": {"blocks", "graphs", "models"},
}
TRAINING = {
    "introspection": set(),
    "recipe": {"introspection"},
    "tasks": {"evaluation", "introspection", "recipe"},
    "datasets": {"recipe", "tasks"},
    "distribution": {"datasets"},
    "evaluation": {"introspection"},
    "engine": {"datasets", "distribution", "evaluation", "introspection", "recipe", "tasks"},
    "compression": {"datasets", "engine", "introspection", "recipe"},
    "architecture_search": {"datasets", "engine", "recipe", "tasks"},
    "channel_pruning": {"datasets", "engine", "introspection", "recipe"},
    "objectives": {"compression", "datasets", "distribution", "engine", "introspection", "recipe", "tasks"},
}
TFLITE = {
    "graph": set(),
    "runtime": {"graph"},
    "targets": {"graph", "runtime"},
    "results": {"graph"},
    "conversion": {"graph", "results", "runtime", "targets"},
    "exports": {"graph", "results", "runtime"},
    "measurement": {"graph", "results", "runtime", "targets"},
    "reports": {"results", "targets"},
    "bundles": {"graph", "measurement", "results", "runtime", "targets"},
    "web": {"bundles", "conversion"},
}
PUBLIC = {""}  # the package itself, whose public names load the core
ARROWS = {
    "": FOUNDATION,
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    **{room: FOUNDATION | to for room, to in CORE.items()},
    "training": set(),
    **{
        f"training.{room}": FOUNDATION | PUBLIC | CORE.keys() | {f"training.{other}" for other in to}
        for room, to in TRAINING.items()
    },
    "tflite": set(),
    **{
        f"tflite.{room}": FOUNDATION
        | PUBLIC
        | CORE.keys()
        | {"training", *(f"training.{other}" for other in TRAINING), *(f"tflite.{other}" for other in to)}
        for room, to in TFLITE.items()
    },
}
ARROWS["pipeline"] = set(ARROWS)
ARROWS["cli"] = set(ARROWS)
ARROWS["__main__"] = {"cli"}


def _imports():
    """Every module of the package, without `keras_mobilenets.` in front, and the names that it imports."""
    for folder, prefix in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            module = prefix + ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
            names = set()
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    assert node.level == 0, f"{path}: write the whole name of what is imported"
                    names |= {f"{node.module}.{alias.name}" for alias in node.names}
            yield module.removesuffix("__init__").removesuffix("."), names


IMPORTS = dict(_imports())


def _modules(names):
    """The modules of the package among imported names: that of `costs.latencies.table` is `costs.latencies`."""
    for name in names:
        if name.split(".")[0] == "keras_mobilenets":
            parts = name.split(".")[1:]
            yield next(module for end in range(len(parts), -1, -1) if (module := ".".join(parts[:end])) in IMPORTS)


def _room(module):
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] in ("training", "tflite") else 1])


@pytest.mark.parametrize("room", sorted({_room(module) for module in IMPORTS}))
def test_a_room_imports_only_what_its_arrows_allow(room):
    assert room in ARROWS, f"{room} has no arrows: give it a place in this table and in CONTRIBUTING.md"
    for module, names in IMPORTS.items():
        if _room(module) == room:
            assert {_room(target) for target in _modules(names)} <= ARROWS[room] | {room}, module


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: set(_modules(names)) - {module} for module, names in IMPORTS.items()}).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


def test_the_models_need_no_tensorflow():
    for module, names in IMPORTS.items():
        if _room(module) in {"", *FOUNDATION, *CORE}:
            assert not {name for name in names if name.split(".")[0] in ("tensorflow", "tf_keras")}, module


def test_every_folder_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    folders = {
        ".".join(["keras_mobilenets", *prefix.split(".")[:-1], *path.parent.relative_to(ROOT / folder).parts])
        for folder, prefix in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(listed) == folders


def test_no_folder_has_more_modules_than_a_reader_takes_in():
    modules = [path for folder in (*FOLDERS, "tests") for path in (ROOT / folder).rglob("*.py")]
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules)
    assert {folder: count for folder, count in counts.items() if count > 14} == {}
