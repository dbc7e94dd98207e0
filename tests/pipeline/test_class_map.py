"""The stage class_map under DVC: the student learns from its maps; when a source grows, only new shards are mapped."""

from __future__ import annotations

import csv
import shutil

import pytest
import yaml

from tests.pipeline.conftest import Project


@pytest.fixture
def copied(project, tmp_path):
    """A copy of the tiny project after its first run."""
    shutil.copytree(project.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def changed(project, **sections):
    path = project.folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    for name, values in sections.items():
        content[name] |= values
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def kept_maps(project):
    """The inodes of the shards of maps that executions of the stage kept, by name."""
    found = {}
    for path in (project.folder / ".work").glob("class_map-hills/*/parts/shard-*.tar"):
        found.setdefault(path.name, set()).add(path.stat().st_ino)
    return found


def hills(count):
    options = {"domain": "hills", "count": count, "seed": 1, "height": 64, "width": 80}
    return {"reader": "rendered_world", "options": options, "class_labels": True}


@pytest.mark.slow
def test_the_student_learns_classes_and_only_new_shards_are_mapped(copied):
    before = copied.weights("student")
    photographs = yaml.safe_load((copied.folder / "params.yaml").read_text())["sources"]["unlabeled"]["photographs"]
    changed(copied, sources={"unlabeled": {"hills": hills(8), "photographs": photographs}})
    changed(copied, class_map={"hills": "labels"}, student={"auxiliary_semantics": 1.0})
    ran = copied.ran(copied.run("dvc", "repro", "train_student"))
    assert {"class_map@hills", "train_student"} <= set(ran) and "train_teacher" not in ran
    with open(copied.folder / "models" / "student" / "history.csv", newline="") as file:
        assert all(float(row["auxiliary_semantics"]) > 0 for row in csv.DictReader(file))
    assert copied.weights("student") != before
    first = kept_maps(copied)
    assert len(first) == 2

    changed(copied, sources={"unlabeled": {"hills": hills(12), "photographs": photographs}})
    assert "class_map@hills" in copied.ran(copied.run("dvc", "repro", "class_map@hills"))
    second = kept_maps(copied)
    assert len(second) == 3
    assert {name: second[name] for name in first} == first  # the same files as before, none was made again
