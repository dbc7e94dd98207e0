"""The inventory: the same bytes as long as nothing changes, other bytes for the source that changed, and light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import yaml

from depth_model.errors import UserError
from tasks import inventory
from tasks.settings import params, presets
from tests.tasks.starting import start


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """A project folder with two image folders and one source without a root."""
    content = presets.content(repository / "presets" / "demo.yaml")
    content |= {"finetune_metric": {}, "evaluate_metric": {}}
    content |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    content["sources"] = {
        "labeled": {},
        "unlabeled": {
            "summer": {"reader": "image_folder", "root": "pictures/summer"},
            "winter": {"reader": "image_folder", "root": "pictures/winter", "minimum_count": 0},
        },
        "evaluation": {},
        "metric": {},
        "semantic": {},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for season in ("summer", "winter"):
        (tmp_path / "pictures" / season).mkdir(parents=True)
    (tmp_path / "pictures" / "summer" / "1.jpg").write_bytes(b"12345")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(project):
    folder = project / "data" / "inventory"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


def test_every_source_has_its_file(project):
    start("inventory")
    found = written(project)
    sources = {f"unlabeled/{name}{end}.json" for name in ("summer", "winter") for end in ("", ".reader")}
    assert set(found) == sources | {f"{role}.json" for role in params.ROLES}
    (only,) = json.loads(found["unlabeled/summer.json"])
    modified = (project / "pictures" / "summer" / "1.jpg").stat().st_mtime_ns
    assert only == {"path": "1.jpg", "size": 5, "modified": modified}
    assert json.loads(found["unlabeled/winter.json"]) == []


def test_only_the_source_that_changed_has_other_bytes(project):
    start("inventory")
    before = written(project)
    start("inventory")
    assert written(project) == before
    (project / "pictures" / "winter" / "notes.txt").write_text("no picture")  # is counted among what is left out
    start("inventory")
    assert written(project)["unlabeled/winter.json"] != before["unlabeled/winter.json"]
    for change in (
        lambda: (project / "pictures" / "winter" / "2.png").write_bytes(b"new"),
        lambda: (project / "pictures" / "winter" / "2.png").write_bytes(b"longer"),
        lambda: os.utime(project / "pictures" / "winter" / "2.png", ns=(1, 1)),
        lambda: (project / "pictures" / "winter" / "2.png").unlink(),
    ):
        last = written(project)
        change()
        start("inventory")
        now = written(project)
        assert now["unlabeled/summer.json"] == before["unlabeled/summer.json"]
        assert now["unlabeled/winter.json"] != last["unlabeled/winter.json"]


def test_a_missing_root_is_named(project):
    (project / "pictures" / "winter").rmdir()
    with pytest.raises(UserError) as caught:
        start("inventory")
    assert "sources.unlabeled.winter.root" in str(caught.value)
    assert "'pictures/winter'" in str(caught.value)
    assert not (project / "data").exists()


def test_a_wrong_params_file_stops_it(project):
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("alpha:", "alfa:"))
    with pytest.raises(UserError, match="alfa"):
        start("inventory")


def test_the_command_ends_with_one_line_and_no_traceback(project, repository):
    (project / "pictures" / "winter").rmdir()
    command = [sys.executable, "-m", "tasks", "inventory"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: params.yaml: sources.unlabeled.winter.root")


def test_it_imports_nothing_heavy(project, repository):
    code = (
        "import sys, tasks.runner as runner; runner.run_stage('inventory'); "
        "print(*{'torch', 'pandas', 'mlflow', 'great_expectations', 'pyarrow', 'cv2', 'dvc'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(repository)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_its_cost_grows_with_the_number_of_files_and_not_faster(tmp_path):
    def seconds(count):
        watched = ({"path": f"{number}.jpg", "size": 1, "modified": number} for number in range(count))
        start = time.process_time()
        inventory.write_inventory(tmp_path / "list.json", watched)
        return time.process_time() - start

    few, many = min(seconds(5000) for _ in range(3)), min(seconds(50000) for _ in range(3))
    assert many < 20 * few
    assert len(json.loads((tmp_path / "list.json").read_text())) == 50000
