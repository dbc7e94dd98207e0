"""The real graph under the real DVC, on a tiny world: runs, rests, and re-runs what depends on a change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas
import pytest
import yaml
from PIL import Image

from flows import order
from tasks.workspace.repro import stage_graph
from tests import canaries
from tests.pipeline.test_kills import scratch_holds, stop_group, wait_for

AFTER_STUDENT = [
    "train_student",
    "finetune_metric@nyu",
    "evaluate_relative@columns",
    "evaluate_held_out",
    "evaluate_metric@nyu",
    "finetune_semantic@cityscapes",
    "evaluate_semantic@cityscapes",
    "summarise",
    "report",
]


def test_the_first_run_leaves_models_metrics_and_a_report(project):
    stages = project.ran(project.first_output)
    assert stages[:3] == ["export@nyu", "export@cityscapes", "inventory"]
    learned = {"train_teacher", "pseudo_label@hills", "train_student", "finetune_metric@nyu"}
    assert learned | {"audit", "describe", "report"} <= set(stages)
    metrics = json.loads((project.folder / "reports" / "metrics.json").read_text())
    for model in ("teacher", "student"):
        assert 0 < metrics["columns"][model]["abs_rel"]
        assert 0 <= metrics["columns"][model]["delta1"] <= 1
    page = (project.folder / "reports" / "index.html").read_text()
    assert "<html" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert str(project.folder) not in page


@pytest.mark.hostile
def test_no_credential_is_left_in_a_log_a_result_or_a_page(project):
    assert canaries.leaks(project.folder, project.first_output) == []
    assert canaries.leaks(Path("/nowhere"), str(project.environment)) != []  # they were there to be told


def test_catalogs_list_the_sources_in_the_order_of_params(project):
    catalog = json.loads((project.folder / "data" / "catalog" / "unlabeled.json").read_text())
    assert list(catalog) == ["hills", "photographs"]
    assert [entry["samples"] for entry in catalog.values()] == [8, 0]


def test_a_second_run_finds_nothing_to_do(project):
    assert project.ran(project.run("dvc", "repro")) == ["inventory"]


def test_a_killed_training_continues_in_the_same_bytes(project):
    before = project.weights("teacher")
    again = ["dvc", "repro", "--force", "--single-item", "--no-run-cache", "train_teacher"]
    shutil.rmtree(project.folder / ".work" / "train_teacher")  # the finished work would be found there
    process = project.start(*again)
    wait_for(scratch_holds(project, "train_teacher", "checkpoint*"), process)
    stop_group(process)
    project.run(*again)
    assert project.weights("teacher") == before


def test_restored_outs_equal_the_removed_ones(project):
    before = project.weights("student")
    shutil.rmtree(project.folder / "models" / "student")
    assert project.ran(project.run("dvc", "repro", "train_student")) == ["inventory"]
    assert project.weights("student") == before


@pytest.mark.slow
def test_an_experiment_in_a_copy_lists_exported_files_anew_and_trains_nothing(project):
    output = project.run("dvc", "exp", "run", "--temp", "-n", "copy")
    # The copy's files are younger; their shards are the same bytes, so that nothing after the collection runs.
    listing = ("inventory", "collect_metric@", "collect_semantic@")
    assert [stage for stage in project.ran(output) if not stage.startswith(listing)] == []


def test_an_experiment_with_the_same_alpha_finds_nothing_to_do(project):
    output = project.run("dvc", "exp", "run", "-S", "alpha=0.85")
    assert project.ran(output) == ["inventory"]


def test_another_alpha_trains_only_the_student_again(project):
    before = project.weights("student"), project.weights("teacher")
    output = project.run("dvc", "exp", "run", "-S", "alpha=0.70")
    assert sorted(project.ran(output)) == sorted(["inventory", *AFTER_STUDENT])
    assert project.weights("teacher") == before[1]
    assert project.weights("student") != before[0]
    assert "0.7" in project.run("dvc", "exp", "show", "--csv")
    project.run("dvc", "exp", "run", "-S", "alpha=0.85")
    assert project.weights("student") == before[0]


AFTER_PHOTOGRAPH = {
    "collect_unlabeled@photographs",
    "validate@unlabeled",
    "audit",
    "describe",
    "pseudo_label@photographs",
    "validate_pseudo",
    *AFTER_STUDENT,
}


def test_what_waits_for_the_watched_folder(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    first = "collect_unlabeled@photographs"
    waiting = {first} | order.behind(stage_graph(), [first])
    assert waiting >= AFTER_PHOTOGRAPH
    assert {one for one in waiting if one.startswith(("collect", "validate", "sky"))} == {
        one for one in AFTER_PHOTOGRAPH if one.startswith(("collect", "validate"))
    }


@pytest.mark.slow
def test_a_photograph_in_the_watched_folder_runs_what_depends_on_it(project, repository):
    folder = project.folder / "data" / "photographs"
    Image.radial_gradient("L").convert("RGB").save(folder / "new.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    stages = project.ran(project.run("dvc", "repro"))
    assert stages[0] == "inventory"
    assert set(stages[1:]) == AFTER_PHOTOGRAPH
    quarantine = pandas.read_parquet(project.folder / "data" / "unlabeled" / "photographs" / "quarantine.parquet")
    assert list(quarantine.source_path) == ["broken.jpg"]
    assert quarantine.reason[0]


@pytest.mark.slow
def test_a_removed_source_is_no_longer_read(project):
    path = project.folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    del content["sources"]["unlabeled"]["photographs"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    stages = project.ran(project.run("dvc", "repro"))
    assert not any("photographs" in stage or stage.startswith("collect") for stage in stages)
    catalog = json.loads((project.folder / "data" / "catalog" / "unlabeled.json").read_text())
    assert list(catalog) == ["hills"]


def test_a_mistyped_value_is_refused_before_anything_runs(project):
    parameters = project.folder / "params.yaml"
    before = parameters.read_text()
    output = project.run("dvc", "exp", "run", "-S", "alpha=1.5", fails=True)
    parameters.write_text(before)
    assert "alpha = 1.5" in output
    assert "less than or equal to 1" in output
    assert project.ran(output) == ["inventory"]


def test_no_out_holds_a_path_of_the_machine(project):
    for folder in ("data", "models", "reports"):
        for path in (project.folder / folder).rglob("*"):
            if path.is_file() and path.suffix in {".json", ".csv", ".html", ".safetensors", ".parquet"}:
                assert str(project.folder).encode() not in path.read_bytes(), path
