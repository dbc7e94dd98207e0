"""The graph is true: what dvc.yaml names for a stage holds all the code that the stage can run, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

STAGES = yaml.safe_load(Path(__file__).parents[1].joinpath("dvc.yaml").read_text())["stages"]
FREE = (
    "tasks/__init__.py",
    "tasks/settings/",
    "tasks/workspace/",
    "tasks/tracking/",
    "depth_model/__init__.py",
    "depth_model/errors.py",
    "depth_model/files.py",
    "depth_model/settings.py",
    "depth_model/memory.py",
    "depth_model/progress.py",
    "depth_model/quiet.py",
    "depth_model/shown.py",
)
"""Runner, settings, workspace, tracking, and what every room may use: no stage names them."""
READERS = "depth_model/readers/"
ADAPTERS = "depth_model/comparison/adapters/"
"""Families of models, which are found in their folder and imported by no statement."""
WATCHED = ("depth_model/world/",)
"""Code whose hash the inventory of a rendered source holds, so that a collection depends on it through its data."""
LINES = 200


@pytest.fixture(scope="module")
def imports(repository):
    """{file of the packages: files of the packages that it can import, inside functions too}."""
    paths = [path for top in ("depth_model", "tasks") for path in (repository / top).rglob("*.py")]
    files = {path.relative_to(repository).as_posix() for path in paths}
    return {file: imported(ast.parse((repository / file).read_text()), files) for file in files}


def imported(tree, files):
    """The `files` that the module `tree` imports, with the packages they lie in; not what only a type checker reads."""
    found, nodes = set(), [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            prefixes = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
            found |= {file for one in prefixes for file in (f"{one}.py", f"{one}/__init__.py") if file in files}
    return found


def closure(starts, imports):
    """The files that are run when `starts` are, without those that are free."""
    found, waiting = set(), list(starts)
    while waiting:
        file = waiting.pop()
        if file not in found and not file.startswith(FREE):
            found.add(file)
            waiting += imports[file]
    return found


def stage_file(repository, stage):
    """The module of a stage: that of its name, or of the first part of it."""
    from tasks.runner import module_of

    return Path(module_of(stage).__file__).relative_to(repository).as_posix()


def entry(stage):
    return STAGES[stage].get("do", STAGES[stage])


def code(stage):
    return [one for one in entry(stage)["deps"] if one.startswith(("depth_model/", "tasks/")) and "$" not in one]


def needed(repository, stage, imports):
    """All files of code that the stage can run and must therefore name."""
    found = closure([stage_file(repository, stage)], imports)
    if f"{ADAPTERS}__init__.py" in found:
        found |= closure([file for file in imports if file.startswith(ADAPTERS)], imports)
    if stage.startswith("collect_"):  # the reader of the source is one dependency, with the name of the source's
        readers = [file for file in imports if file.startswith(READERS)]
        found |= closure(readers, imports) - set(readers) - {f for f in imports if f.startswith(WATCHED)}
        assert f"{READERS}${{item.reader}}.py" in entry(stage)["deps"]
    return found


def inside(file, dependency):
    return file == dependency or file.startswith(f"{dependency}/")


def has_code(repository, file):
    """Whether more than a docstring is in the file."""
    return len(ast.parse((repository / file).read_text()).body) > 1


@pytest.mark.parametrize("stage", STAGES)
def test_the_dependencies_hold_all_that_the_stage_can_run(repository, stage, imports):
    files = [file for file in needed(repository, stage, imports) if has_code(repository, file)]
    missing = sorted(file for file in files if not any(inside(file, one) for one in code(stage)))
    assert missing == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_is_without_use(repository, stage, imports):
    files = needed(repository, stage, imports)
    folders = {Path(file).parent for file in files}
    data = [one for one in code(stage) if Path(one).suffix not in ("", ".py")]  # beside the module that reads it
    assert [one for one in code(stage) if one not in data and not any(inside(file, one) for file in files)] == []
    assert all(Path(one).parent in folders for one in data)
    assert all((repository / one).exists() for one in code(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_commands_hold_nothing_of_params(stage):
    assert entry(stage)["cmd"] == f"python -m tasks {stage}"


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.startswith(("train_", "finetune_"))])
def test_training_does_not_depend_on_other_rooms(repository, stage, imports):
    kind = stage.partition("_")[2]
    foreign = ["interchange", "evaluation", "readers", "reading"]
    foreign += [room for room in ("metric", "semantic", "encoders") if kind not in ("metric", "semantic")]
    foreign += [room for room in ("metric", "semantic") if kind in ("metric", "semantic") and room != kind]
    found = needed(repository, stage, imports)
    assert [file for file in found if file.startswith(tuple(f"depth_model/{room}/" for room in foreign))] == []


def test_predicting_does_not_import_the_training_loop(imports):
    found = closure(["tasks/commands/predict.py"], imports)
    assert "depth_model/prediction/predictor.py" in found
    assert [file for file in found if file.startswith("depth_model/training/")] == []


def test_the_graph_is_short(repository):
    assert len((repository / "dvc.yaml").read_text().splitlines()) <= LINES


def test_editing_how_shards_are_read_is_a_change_of_every_training(repository, imports):
    for stage in ("train_teacher", "train_student", "finetune_metric", "finetune_semantic"):
        assert "depth_model/shards/shard_store.py" in needed(repository, stage, imports)
        assert "depth_model/shards" in code(stage)
