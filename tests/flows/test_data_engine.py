"""What is new, what has drifted, which stages run at night; three nights are in tests/pipeline."""

from __future__ import annotations

import subprocess

from depth_model import files
from flows import finetune
from flows.data_engine import LABELING, STAGES, Growth, drifted, growth
from tasks.workspace.entry import recorded
from tasks.workspace.paths import statistics_path
from tasks.workspace.repro import stage_graph


def test_new_images_are_counted_source_by_source():
    unlabeled = (
        {"hills": {"samples": 10}, "gone": {"samples": 5}},
        {"hills": {"samples": 12}, "night": {"samples": 3}},
    )
    labeled = ({"rooms": {"samples": 5}}, {"rooms": {"samples": 4}})
    assert growth(unlabeled, labeled) == Growth(20, 5)


def test_enough_is_a_share_of_what_was_learned_from():
    assert Growth(20, 2).reaches(0.1) and not Growth(20, 1).reaches(0.1)
    assert Growth(0, 1).reaches(0.1)
    assert not Growth(0, 0).reaches(0.1) and not Growth(20, 0).reaches(0.0)


def test_what_a_stage_read_when_it_last_ran_comes_from_the_cache(toy):
    assert recorded("train", "rooms.txt") is None
    subprocess.run(["dvc", "repro", "-q"], check=True)
    (toy / "rooms.txt").write_text("changed")
    assert recorded("train", "rooms.txt") == b"one\n"
    assert recorded("train", "no-such-dependency") is None


def test_drift_of_inputs_and_of_predictions_is_told(toy):
    one = {"samples": 4, "histograms": {"level": [4, 0]}, "ranges": {}, "refused": {}}
    for role, distance in (("unlabeled", 0.1), ("pseudo", 0.9)):
        files.write_json(
            statistics_path(role),
            {"sources": {"hills": one}, "compared": True, "drift": [["hills", "level", distance]]},
        )
    assert drifted() == ["pseudo: level of hills moved by 0.90"]


def test_the_stages_of_the_night_are_those_of_the_graph_and_train_nothing(repository, monkeypatch):
    monkeypatch.chdir(repository)
    names = {stage.partition("@")[0] for stage in stage_graph()}
    assert {*STAGES} <= names | {"collect_labeled"}
    assert {*LABELING} == {"pseudo_label", "validate_pseudo"}
    assert not {one for one in STAGES if one.startswith(("train", "finetune", "evaluate"))}


def test_a_fine_tuning_takes_the_student_as_it_is(repository, monkeypatch):
    monkeypatch.chdir(repository)
    graph = stage_graph()
    chosen = finetune.tuning_of(graph, ["nyu"])
    assert {"finetune_metric@nyu", "evaluate_metric@nyu", "audit", "collect_metric@nyu", "export@nyu"} <= chosen
    others = {"train_teacher", "train_student", "validate_pseudo", "finetune_metric@kitti", "summarise", "report"}
    assert not chosen & others
    everything = finetune.tuning_of(graph, [])
    assert {stage for stage in graph if stage.startswith("finetune_")} <= everything
