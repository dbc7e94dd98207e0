"""The ablations of one GPU: the same code at the smallest sizes, and settings that are those of the preset."""

from __future__ import annotations

import math
import time

import pytest

from depth_model.comparison.ablations import read_results
from depth_model.training import collapse
from experiments.results import TABLES


@pytest.fixture
def gpu_ablation(repository, monkeypatch):
    """The script as a module, in the root of the repository."""
    monkeypatch.chdir(repository)
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import gpu_ablation

    return gpu_ablation


@pytest.mark.slow
def test_a_dry_run_leaves_a_line_for_each_row_and_makes_none_again(tmp_path, gpu_ablation, monkeypatch):
    monkeypatch.setattr(collapse, "CONSTANT", math.inf)
    setting = gpu_ablation.setting_of(gpu_ablation.SCALES["dry"])
    out = tmp_path / "results.jsonl"
    gpu_ablation.run(setting, [1], out, "commit", time.monotonic() + 3600, 1)
    lines = read_results(out)
    wanted = [(table, row.label) for table in ("table-9", "table-12") for row in TABLES[table]]
    assert [(one["table"], one["row"]) for one in lines] == wanted
    scores = {one["row"]: one["metrics"]["mean"]["student"]["abs_rel"] for one in lines}
    assert scores["alpha = 0.85"] == scores["labeled + unlabeled + perturbation + feature alignment"]
    # Two images are too few, and a dozen steps too short, for a token to fall below 0.70.
    assert len(set(scores.values())) >= len(scores) - 2
    monkeypatch.setattr(gpu_ablation.Small, "teach", lambda self, seed: pytest.fail("made again"))
    gpu_ablation.run(setting, [1], out, "commit", time.monotonic() + 3600, 1)
    assert read_results(out) == lines


def test_a_scale_changes_the_preset_and_nothing_else(gpu_ablation):
    preset, gpu = (gpu_ablation.setting_of(gpu_ablation.SCALES[name]) for name in ("preset", "gpu"))
    assert (preset.student.labeled_per_batch, preset.training.precision, preset.images) == (4, "bf16", 1.0)
    assert gpu.teacher.encoder_learning_rate == preset.teacher.encoder_learning_rate
    # Students take more steps than their teachers, as in the paper; there are as many images of both kinds.
    steps = (gpu.student.epochs / gpu.student.unlabeled_per_batch, gpu.teacher.epochs / gpu.teacher.batch)
    assert steps[0] > 1.4 * steps[1]
    with pytest.raises(TypeError, match="strenght"):
        gpu_ablation.setting_of(["student.perturbation.strenght=1"])
