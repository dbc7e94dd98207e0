"""The collect stages depend on every file that a reader reads its samples with."""

from __future__ import annotations

import ast

import pytest
import yaml

# Readers of these packages say what they depend on through their inventory (a hash of the generator).
WATCHED = "depth_model/datasets/rendered_world"


def imported(repository, path, seen):
    """The files of depth_model/datasets that the file `path` imports, directly or not."""
    for node in ast.walk(ast.parse((repository / path).read_text())):
        if not (isinstance(node, ast.ImportFrom) and node.module.startswith("depth_model.datasets")):
            continue
        for module in (node.module, *(f"{node.module}.{one.name}" for one in node.names)):
            file = f"{module.replace('.', '/')}.py"
            if (repository / file).exists() and file not in seen:
                seen.add(file)
                imported(repository, file, seen)
    return seen


@pytest.mark.parametrize("role", ["labeled", "unlabeled", "evaluation", "metric", "semantic"])
def test_collecting_depends_on_what_readers_import(repository, role):
    stage = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"][f"collect_{role}"]
    readers = [path.relative_to(repository) for path in (repository / "depth_model/datasets/readers").glob("[a-z]*.py")]
    needed = set().union(*(imported(repository, path, set()) for path in readers))
    needed |= imported(repository, "depth_model/datasets/collecting.py", set())
    assert "depth_model/datasets/formats.py" in needed
    assert {path for path in needed if not path.startswith(WATCHED)} <= set(stage["do"]["deps"])
