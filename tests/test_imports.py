"""Imports run downwards only: flows and experiments, then tasks, then the rooms of depth_model."""

from __future__ import annotations

import ast

import pytest

ABOVE_THE_LIBRARY = {"tasks", "flows", "experiments", "tests", "benchmarks", "dvc", "prefect", "mlflow"}
LEARNING = {"depth_model.training", "depth_model.metric", "depth_model.semantic"}
FORBIDDEN = {
    "depth_model": ABOVE_THE_LIBRARY,
    "tasks": {"flows", "experiments", "tests", "benchmarks", "prefect"},
    "flows": {"experiments", "tests", "benchmarks", "torch", "timm", "depth_model.networks", "depth_model.training"},
    "experiments": {"flows", "tests", "benchmarks", "torch", "timm", "depth_model.networks", "depth_model.training"},
    "depth_model/shards": {f"depth_model.{room}" for room in ("readers", "reading", "networks", "evaluation", "world")}
    | LEARNING,
    "depth_model/reading": {f"depth_model.{room}" for room in ("networks", "evaluation", "world")} | LEARNING,
    "depth_model/readers": {f"depth_model.{room}" for room in ("networks", "evaluation")} | LEARNING,
    "depth_model/objectives": {f"depth_model.{room}" for room in ("shards", "reading", "networks", "evaluation")}
    | LEARNING,
    "depth_model/metrics": {f"depth_model.{room}" for room in ("shards", "reading", "networks", "evaluation")}
    | {"depth_model.training"},
    "depth_model/networks": {f"depth_model.{room}" for room in ("shards", "reading", "evaluation", "interchange")}
    | LEARNING,
    "depth_model/training": {f"depth_model.{room}" for room in ("reading", "readers", "evaluation", "interchange")}
    | {"depth_model.metric", "depth_model.semantic"},
    "depth_model/prediction": {f"depth_model.{room}" for room in ("reading", "readers", "evaluation")} | LEARNING,
}
WORLD_IS_FOR = ("depth_model/world/", "depth_model/readers/rendered_world.py", "depth_model/sky/train_probe.py")


def modules_imported(file):
    """The dotted names that `file` imports anywhere in it, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_nothing_imports_what_lies_above_it(repository, folder):
    wrong = {}
    assert list((repository / folder).rglob("*.py")), folder
    for file in (repository / folder).rglob("*.py"):
        parts = {".".join(name.split(".")[:n]) for name in modules_imported(file) for n in (1, 2)}
        if found := parts & FORBIDDEN[folder]:
            wrong[str(file.relative_to(repository))] = sorted(found)
    assert not wrong


def test_nothing_but_its_reader_and_its_export_imports_the_rendered_world(repository):
    files = [file.relative_to(repository).as_posix() for file in (repository / "depth_model").rglob("*.py")]
    others = [name for name in files if not name.startswith(WORLD_IS_FOR)]
    assert [name for name in others if "depth_model.world" in set(modules_imported(repository / name))] == []
