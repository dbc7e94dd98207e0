"""The best weights are kept, a training that gets no better ends, and neither depends on what happened on the way."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from depth_model.evaluation.image_metrics import relative_depth_metrics
from depth_model.evaluation.protocols import GENERIC
from depth_model.metrics.depth import Metric
from depth_model.training.history import History
from depth_model.training.loop import train
from depth_model.training.relative_validation import relative_score, relative_sums, relative_validation, whole_image
from depth_model.training.settings import ValidationSettings
from depth_model.training.teacher import train_teacher
from depth_model.training.validation import HeldOut, best_step, exhausted

from . import test_teacher
from .small_run import MACHINE, SETTINGS, held_out_error, make_batch, small_run, squared_error

EVERY = ValidationSettings(fraction=0.5, every=4)


def nothing(step, metrics):
    pass


def constant(group, step, total):
    return {"lr": group["base_lr"]}


def noisy_few(step, share=None):
    """Eight inputs with labels that are half noise, the same in every step: they can only be learned by heart."""
    batch = make_batch(0)
    noise = torch.randn(8, 1, generator=torch.Generator().manual_seed(99))
    batch["nested"]["y"] = batch["nested"]["y"] + 3 * noise
    return batch


def overfitting(steps=160, settings=EVERY, **changed):
    brought = {"make_batch": noisy_few, "schedule": constant, "validation": held_out_error(settings)}
    return small_run(steps=steps, **(brought | changed))


def weights(model):
    return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())


def learned(folder, run, on_metrics=nothing):
    history = train(run, SETTINGS, folder / "scratch", on_metrics, MACHINE)
    history.write(folder / "history.csv")
    return weights(run.model), (folder / "history.csv").read_bytes(), history


def test_what_is_learned_by_heart_is_not_kept(tmp_path, capsys):
    kept, _, history = learned(tmp_path / "best", overfitting())
    errors = {step: figures["validation/error"] for step, figures in history.measured.items()}
    assert list(errors) == list(range(0, 161, 4))
    best = min(errors, key=errors.get)
    assert 0 < best < 160 and errors[160] > 1.2 * errors[best] and history.kept == best
    assert history.rows[-1][1] < 0.2 * history.rows[0][1]  # the loss of training says that all is well
    alone = small_run(steps=best, make_batch=noisy_few, schedule=constant)
    assert learned(tmp_path / "alone", alone)[0] == kept
    told = f"small: kept step {best}: validation/error {errors[best]:.4f}; at step 160 {errors[160]:.4f}"
    assert told in capsys.readouterr().err


def test_a_learning_rate_that_ruins_the_model_costs_nothing_but_time(tmp_path):
    def ruinous(group, step, total):
        return {"lr": group["base_lr"] * (1 if step < 40 else 10)}

    _, _, history = learned(tmp_path, small_run(steps=80, schedule=ruinous, validation=held_out_error(EVERY)))
    last, kept = (history.measured[step]["validation/error"] for step in (80, history.kept))
    assert history.kept <= 40 and last > 5 * kept


def test_the_last_weights_are_kept_where_that_is_asked_for(tmp_path):
    kept, _, history = learned(tmp_path / "last", overfitting(settings=dataclasses.replace(EVERY, keep="last")))
    unmeasured = learned(tmp_path / "off", overfitting(validation=None))
    assert kept == unmeasured[0] and history.kept == 160
    assert history.rows == unmeasured[2].rows  # measuring changes nothing of what is learned


def test_patience_ends_the_training_and_says_why(tmp_path, capsys):
    settings = dataclasses.replace(EVERY, patience=3)
    kept, csv, history = learned(tmp_path, overfitting(settings=settings))
    stopped = list(history.measured)[-1]
    assert stopped == history.kept + 12 < 160
    told = f"small: stopped at step {stopped} of 160: no better for 3 measurements; kept step {history.kept}:"
    assert told in capsys.readouterr().err
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "scratch").iterdir()}
    assert learned(tmp_path, overfitting(settings=settings))[:2] == (kept, csv)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("ema", [pytest.param(0.0, marks=pytest.mark.slow), 0.9])
def test_killed_in_any_step_it_ends_in_the_same_bytes(tmp_path, ema):
    settings = dataclasses.replace(EVERY, patience=3, every=3)
    given = {"settings": settings, "steps": 60, "ema": ema}
    undisturbed = learned(tmp_path / "undisturbed", overfitting(**given))[:2]
    last = int(undisturbed[1].decode().splitlines()[-1].split(",")[0])
    for killed in range(last):

        def dying(model, batch, calls=[0], killed=killed):  # noqa: B006
            calls[0] += 1
            if calls[0] == killed + 1:
                raise OSError("killed")
            return squared_error(model, batch)

        with pytest.raises(OSError, match="killed"):
            learned(tmp_path / str(killed), overfitting(loss=dying, **given))
        assert learned(tmp_path / str(killed), overfitting(**given))[:2] == undisturbed


def test_killed_while_it_measures_it_measures_again(tmp_path):
    undisturbed = learned(tmp_path / "undisturbed", overfitting(steps=30))[:2]

    def dying(step, metrics):
        if step == 16 and "validation/error" in metrics:
            raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        learned(tmp_path / "killed", overfitting(steps=30), dying)
    assert learned(tmp_path / "killed", overfitting(steps=30))[:2] == undisturbed


def test_the_average_is_what_is_measured_and_kept(tmp_path):
    plain, averaged = (learned(tmp_path / str(ema), overfitting(ema=ema, steps=8)) for ema in (0.0, 0.9))
    assert plain[2].measured[0] == averaged[2].measured[0]
    assert plain[2].measured[8] != averaged[2].measured[8]
    assert plain[2].rows == averaged[2].rows


def test_figures_reach_the_callback_and_the_file_in_the_steps_that_were_measured(tmp_path):
    seen = {}

    def note(step, metrics):
        if "validation/error" in metrics:
            seen[step] = metrics["validation/error"]

    learned(tmp_path, overfitting(steps=10), note)
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["step"].tolist() == list(range(11))
    measured = table.dropna(subset=["validation/error"])
    assert dict(zip(measured["step"], measured["validation/error"])) == seen
    assert list(seen) == [0, 4, 8, 10]
    assert math.isnan(table["loss"][0]) and table["loss"][1:].notna().all()


def test_a_model_that_is_not_finite_is_never_the_best():
    wanted = held_out_error(dataclasses.replace(EVERY, patience=2))
    measured = {0: 3.0, 4: float("nan"), 8: 2.0, 12: 2.0, 16: float("inf")}
    measured = {step: {"validation/error": value} for step, value in measured.items()}
    assert best_step(wanted, measured) == 8
    assert exhausted(wanted, measured) and not exhausted(wanted, {0: measured[0], 4: measured[4]})
    higher = dataclasses.replace(wanted, decides=Metric("error", "error", True))
    assert best_step(higher, measured) == 0


def test_the_loss_that_counts_is_that_of_the_weights_that_are_kept():
    history = History(1)
    for step, loss in enumerate([4.0, 1.0, 2.0, 9.0], 1):
        history.add(step, {"loss": loss})
    assert history.recent("loss", 2) == 5.5
    history.kept = 3
    assert history.recent("loss", 2) == 1.5
    history.kept = 0
    assert history.recent("loss", 2) == 4.0


@pytest.mark.parametrize("kind", ["metric_depth", "relative_depth", "disparity"])
def test_relative_figures_are_those_of_the_generic_protocol(kind):
    generator = np.random.default_rng(3)
    depth = generator.uniform(0.5, 120, (20, 30)).astype(np.float32)
    depth[generator.random(depth.shape) < 0.3] = np.nan
    target = 1 / depth if kind == "disparity" else depth
    prediction = (3 / np.nan_to_num(depth, nan=7) + generator.normal(0, 0.05, depth.shape) + 2).astype(np.float32)
    wanted = relative_depth_metrics(prediction, target, kind, GENERIC)
    assert relative_sums(prediction, target, kind) == pytest.approx([wanted["abs_rel"], wanted["delta1"], 1], rel=1e-5)
    assert relative_sums(prediction, np.full_like(target, np.nan), kind).tolist() == [0, 0, 0]
    assert np.isnan(relative_sums(prediction * np.nan, target, kind)[:2]).all()


def test_a_whole_image_is_seen_at_the_side_of_the_crops(pools):
    batch = whole_image(pools[0], 28, 14, 1)
    stored = pools[0].load(1)
    assert batch["images"].shape == (1, 28, 42, 3) and batch["target"].shape == (28, 42)
    assert set(batch["target"].ravel().tolist()) <= set(stored.target.ravel().tolist())


@pytest.fixture
def few(pools):
    return HeldOut(pools[0], dataclasses.replace(EVERY, every=7))


def test_a_teacher_keeps_its_best_step_and_ends_in_the_same_bytes_when_killed(pools, few, tmp_path):
    settings = dataclasses.replace(test_teacher.SETTINGS, epochs=14)

    def trained(folder, on_metrics=nothing):
        given = pools[0], "none", settings, test_teacher.TRAINING, 3, folder / "scratch", on_metrics, MACHINE
        model, history = train_teacher(*given, few)
        history.write(folder / "history.csv")
        return model, weights(model), (folder / "history.csv").read_bytes(), history

    model, *undisturbed, history = trained(tmp_path / "a")
    assert list(history.measured) == [0, 7, 14, 21]
    assert history.measured[history.kept]["validation/abs_rel"] < 0.8 * history.measured[0]["validation/abs_rel"]
    validation = relative_validation(few, 28, 14)
    with torch.no_grad():
        sums = sum(relative_score(model.eval(), validation.make(number)) for number in range(6))
    assert history.measured[history.kept] == {
        "validation/abs_rel": pytest.approx(sums[0] / 6),
        "validation/delta1": pytest.approx(sums[1] / 6),
    }

    def killer(step, metrics):
        if step == 18:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        trained(tmp_path / "b", killer)
    assert list(trained(tmp_path / "b")[1:3]) == undisturbed
