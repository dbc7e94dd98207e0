"""A whole table through DVC experiments on the tiny world."""

from __future__ import annotations

import pytest
import yaml


@pytest.mark.slow
def test_a_table_runs_through_experiments_and_is_kept(fresh_project):
    settings = fresh_project.folder / "params.yaml"
    alone = yaml.safe_load(settings.read_text()) | {"export": {}, "finetune_metric": {}, "evaluate_metric": {}}
    alone |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    alone["sources"] |= {"metric": {}, "semantic": {}}
    settings.write_text(yaml.safe_dump(alone, sort_keys=False))
    path = fresh_project.folder / "results" / "ablations.jsonl"
    path.write_text("")  # the project comes with results of its own
    fresh_project.run("git", "commit", "-qam", "Measure ablations")
    shown = fresh_project.run("python", "-m", "experiments.ablations", "table-12", "--seeds", "1")
    assert shown.count("dvc exp run") == 3
    assert shown.count("| 1 | 0.1") == 3
    kept = path.read_text()
    assert len(kept.splitlines()) == 3
    assert fresh_project.run("git", "status", "--porcelain", "params.yaml") == ""
    again = fresh_project.run("python", "-m", "experiments.ablations", "table-12", "--seeds", "1")
    assert "dvc exp run" not in again
    assert path.read_text() == kept
