"""Teacher and student learn on a GPU what they learn on the CPU, go on after a kill, and wait for it once a step."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from depth_model.training import loop
from depth_model.training.settings import (
    FeatureAlignment,
    StudentSettings,
    TeacherSettings,
    TrainingSettings,
)
from depth_model.training.student import train_student
from depth_model.training.teacher import train_teacher
from tests.gpu.conftest import EXACT, NEAR, trained_on

RATES = {"encoder_learning_rate": 1e-4, "decoder_learning_rate": 1e-3}
TRAINING = TrainingSettings(crop=28, gradient_matching=0.5)
TEACHER = TeacherSettings(encoder="tiny", epochs=8, batch=4, **RATES)
STUDENT = StudentSettings(encoder="tiny", epochs=7.0, labeled_per_batch=2, unlabeled_per_batch=4, ema=0.9, **RATES)
ALIGNMENT = FeatureAlignment(alpha=0.85, block=3)
STEPS = 12


def teacher(pools, folder, training=TRAINING, machine=EXACT, on_metrics=lambda *_: None):
    return train_teacher(pools[0], "none", TEACHER, training, 3, folder, on_metrics, machine)


def student(pools, folder, training=TRAINING, machine=EXACT, on_metrics=lambda *_: None):
    return train_student(*pools, "none", STUDENT, ALIGNMENT, training, 3, folder, on_metrics, machine)


LEARNERS = {"teacher": teacher, "student": student}


def curve(history, name="loss"):
    return [row[history.columns.index(name) + 1] for row in history.rows]


def learned(learn, device, *given, **changed):
    with trained_on(device):
        model, history = learn(*given, **changed)
    assert {one.device.type for one in model.parameters()} == {device.type}
    return history


@pytest.fixture(scope="module")
def on_cpu(pools, tmp_path_factory):
    """The histories of both on the CPU, in float32."""
    cpu = torch.device("cpu")
    return {name: learned(learn, cpu, pools, tmp_path_factory.mktemp(name)) for name, learn in LEARNERS.items()}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", LEARNERS)
def test_the_loss_falls_as_on_the_cpu(device, pools, tmp_path, on_cpu, name, precision):
    training = dataclasses.replace(TRAINING, precision=precision)
    history = learned(LEARNERS[name], device, pools, tmp_path, training=training)
    expected = on_cpu[name]
    assert history.columns == expected.columns
    # The first step sees equal weights; later ones add up what Adam makes of differences in the last digits.
    assert history.rows[0][1:] == pytest.approx(expected.rows[0][1:], rel=20 * NEAR[precision], abs=NEAR[precision])
    assert curve(history) == pytest.approx(curve(expected), rel=0.05 if precision == "fp32" else 0.25)


@pytest.mark.parametrize("name", LEARNERS)
def test_killed_and_resumed_the_curve_is_that_of_an_undisturbed_run(device, pools, tmp_path, name):
    training = dataclasses.replace(TRAINING, precision="bf16", accumulation=2)
    whole = learned(LEARNERS[name], device, pools, tmp_path / "whole", training=training)

    def killer(finished, metrics):
        if finished == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(LEARNERS[name], device, pools, tmp_path / "killed", training=training, on_metrics=killer)
    again = learned(LEARNERS[name], device, pools, tmp_path / "killed", training=training)
    assert len(again.rows) == len(whole.rows) >= 12
    assert curve(again) == pytest.approx(curve(whole), rel=1e-9 if device.type == "cpu" else 0.02)


class Reads(TorchDispatchMode):
    """Counts how often a value of a tensor is asked for, which on a GPU waits for it."""

    WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = function.name().partition(".")[0]
        if name in self.WAITING:
            self.found.append(name)
        return function(*arguments, **(keywords or {}))


def waiting_is_an_error(device, on):
    """On a GPU, let torch raise for copies that wait too, of which `Reads` sees nothing."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error" if on else "default")


@pytest.mark.parametrize("name", LEARNERS)
def test_a_step_asks_for_no_value_before_its_end(device, pools, tmp_path, monkeypatch, name):
    counted, real, read = [], loop._gradients, loop._read

    def watched(*given):
        with Reads() as reads:

            def at_the_end(*all):
                waiting_is_an_error(device, False)
                counted.append(list(reads.found))
                return read(*all)

            monkeypatch.setattr(loop, "_read", at_the_end)
            waiting_is_an_error(device, bool(counted))  # not in the first step, which puts constants on the device
            return real(*given)

    monkeypatch.setattr(loop, "_gradients", watched)
    training = dataclasses.replace(TRAINING, precision="bf16", accumulation=2)
    learned(LEARNERS[name], device, pools, tmp_path, training=training)
    assert len(counted) >= STEPS and not any(counted)


@pytest.mark.slow
def test_compiled_networks_learn_the_same(device, pools, tmp_path, monkeypatch, on_cpu):
    if device.type == "cpu":  # the graphs, without the minutes of a compiler
        compiler = torch.compile
        monkeypatch.setattr(torch, "compile", lambda *given, **options: compiler(*given, backend="aot_eager"))
    machine = dataclasses.replace(EXACT, compile=True)
    history = learned(student, device, pools, tmp_path, machine=machine)
    assert curve(history) == pytest.approx(curve(on_cpu["student"]), rel=0.05)
