"""Imports run downwards only: flows, then tasks, then the packages of depth_model."""

from __future__ import annotations

import ast

import pytest

FORBIDDEN = {
    "depth_model": {"tasks", "flows", "tests", "benchmarks", "dvc", "prefect", "mlflow"},
    "tasks": {"flows", "tests", "benchmarks", "prefect"},
    "flows": {"tests", "benchmarks", "torch", "timm", "depth_model.networks", "depth_model.training"},
    "depth_model/objectives": {"depth_model.datasets", "depth_model.training", "depth_model.evaluation"},
    "depth_model/networks": {"depth_model.training", "depth_model.evaluation"},
    "depth_model/datasets": {"depth_model.networks", "depth_model.training", "depth_model.evaluation"},
}


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
    for file in (repository / folder).rglob("*.py"):
        parts = {".".join(name.split(".")[:n]) for name in modules_imported(file) for n in (1, 2)}
        if found := parts & FORBIDDEN[folder]:
            wrong[str(file.relative_to(repository))] = sorted(found)
    assert not wrong
