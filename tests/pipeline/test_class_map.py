"""The stage class_map under DVC: the student learns from its maps; when a source grows, only new shards are mapped."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.pipeline.conftest import Project


@pytest.fixture
def copied(project, tmp_path):
    """A copy of the tiny project after its first run."""
    shutil.copytree(project.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def take_labels(project, source, weight):
    """Have the class labels of an unlabeled source be its class maps, for an auxiliary task of `weight`."""
    path = project.folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["sources"]["unlabeled"][source]["class_labels"] = True
    content["class_map"][source] = "labels"
    content["student"]["auxiliary_semantics"] = weight
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.slow
def test_the_student_learns_the_classes_of_its_maps(copied):
    before = copied.weights("student")
    take_labels(copied, "hills", 1.0)
    ran = copied.ran(copied.run("dvc", "repro", "train_student"))
    assert {"class_map@hills", "train_student"} <= set(ran) and "train_teacher" not in ran
    with open(copied.folder / "models" / "student" / "history.csv", newline="") as file:
        assert all(float(row["auxiliary_semantics"]) > 0 for row in csv.DictReader(file))
    assert copied.weights("student") != before


def mapped(project, count):
    """Map the photographs when they are `count`; return the inodes of the shards of maps that were kept, by name."""
    generator = np.random.default_rng(5)
    for number in range(count):
        path, pixels = (
            project.folder / "data" / "photographs" / f"{number:02}.png",
            generator.integers(0, 255, (6, 8, 3)),
        )
        if not path.exists():
            Image.fromarray(pixels.astype(np.uint8)).resize((80, 60)).save(path)
    assert "class_map@photographs" in project.ran(project.run("dvc", "repro", "class_map@photographs"))
    kept = (project.folder / ".work").glob("class_map-photographs/*/parts/shard-*.tar")
    return {path.name: path.stat().st_ino for path in kept}


@pytest.mark.slow
def test_when_a_source_grows_only_new_shards_are_mapped(copied):
    take_labels(copied, "photographs", 0.0)
    first, second = mapped(copied, 9), mapped(copied, 10)
    same = first.keys() & second.keys()
    assert len(same) >= len(first) - 1 > 0 and second.keys() - same
    assert all(first[name] == second[name] for name in same)  # the same files, not others with the same bytes
