"""The comparison of encoders: parameters that params.yaml takes, a table of what was measured."""

from __future__ import annotations

import pytest

from depth_model.errors import UserError
from experiments import encoders
from tasks.settings import params, presets
from tests.experiments.test_ablations import changed


def test_every_row_starts_all_fine_tuning_from_its_encoder(repository):
    demo = repository / "presets" / "demo.yaml"
    rows = encoders.rows_of(["packaged", "none", "some/folder", "some/other+decoder"], presets.load(demo))
    for row in rows:
        settings = params.check(changed(presets.content(demo), row.changes))
        tuned = [*settings.finetune_metric.values(), *settings.finetune_semantic.values()]
        assert len(tuned) == 4
        source = row.label.removesuffix("+decoder")
        assert source == row.label or {one.start for one in tuned} == {"all"}
        folder = "data/models/" + source.rpartition("/")[2]
        assert {one.initial for one in tuned} == {folder}
        assert settings.models[folder.rpartition("/")[2]].source == source


def test_nothing_to_fine_tune_is_refused(repository):
    settings = presets.load(repository / "presets" / "ablation.yaml")
    with pytest.raises(UserError, match="finetune_metric"):
        encoders.rows_of(["none"], settings)


def result(row, seed, error, setting="a"):
    metrics = {
        "metric/nyu": {"metric/nyu": {"abs_rel": error, "delta1": 0.5, "rmse": 1.0, "silog": 2.0}},
        "semantic/ade20k": {"semantic/ade20k": {"miou": 50.0, "pixel_accuracy": 80.0}},
    }
    return {"table": "encoders", "row": row, "seed": seed, "setting": setting, "metrics": metrics}


def test_the_table_has_mean_and_deviation_of_its_setting_alone():
    ours = [result("student", 1, 0.1), result("student", 2, 0.3)]
    results = [*ours, result("none", 1, 0.5), result("none", 2, 9.0, setting="b")]
    shown = encoders.render(["student", "none", "hub"], results, "a").splitlines()
    assert "| metric/nyu | metric/nyu | abs_rel | 0.2000 ± 0.1414 | 0.5000 | missing |" in shown
    assert "| semantic/ade20k | semantic/ade20k | miou | 50.0000 ± 0.0000 | 50.0000 | missing |" in shown
    assert len(shown) == 2 + 5
