"""The teacher learns, resumes to the same bytes, and is not passed on when it learned nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.objectives import affine_invariant_loss
from depth_model.training import collapse
from depth_model.training.history import History
from depth_model.training.settings import TeacherSettings, TrainingMachine, TrainingSettings
from depth_model.training.start import Seen
from depth_model.training.teacher import teacher_output, teacher_terms, train_teacher
from depth_model.training.terms import values

SETTINGS = TeacherSettings(encoder="tiny", epochs=40, batch=4, encoder_learning_rate=1e-3, decoder_learning_rate=1e-3)
TRAINING = TrainingSettings(crop=28)
MACHINE = TrainingMachine(workers=0, checkpoint_every=7)


def trained(pool, folder, on_metrics=lambda step, metrics: None, machine=MACHINE, **changed):
    settings = dataclasses.replace(SETTINGS, **changed)
    model, history = train_teacher(pool, "none", settings, TRAINING, 3, folder / "scratch", on_metrics, machine)
    model.save(folder / "teacher")
    history.write(folder / "history.csv")
    weights = (folder / "teacher" / "model.safetensors").read_bytes()
    return weights, (folder / "history.csv").read_bytes(), history


@pytest.fixture(scope="module")
def undisturbed(pools, tmp_path_factory):
    return trained(pools[0], tmp_path_factory.mktemp("teacher"))


def test_it_learns(undisturbed):
    history = undisturbed[2]
    assert history.rows[-1][0] == 60
    assert history.recent("affine_invariant", 10) < 0.6 * history.rows[0][1]
    assert history.recent("prediction/positive_fraction", 10) > 0.5


@pytest.mark.parametrize("step", [pytest.param(3, marks=pytest.mark.slow), 18])
def test_killed_and_resumed_it_ends_in_the_same_bytes(pools, tmp_path, undisturbed, step):
    def killer(finished, metrics):
        if finished == step:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        trained(pools[0], tmp_path, killer)
    assert trained(pools[0], tmp_path)[:2] == undisturbed[:2]


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_workers(pools, tmp_path, undisturbed):
    machine = dataclasses.replace(MACHINE, workers=2)
    assert trained(pools[0], tmp_path, machine=machine)[:2] == undisturbed[:2]


def test_a_teacher_that_learned_nothing_is_not_passed_on(pools, tmp_path):
    with pytest.raises(UserError, match="teacher: no better than a constant prediction"):
        trained(pools[0], tmp_path, epochs=1, encoder_learning_rate=1e-9, decoder_learning_rate=1e-9)


def test_a_constant_prediction_has_a_loss_of_one():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 28, 28, generator=generator)
    mask = torch.rand(3, 28, 28, generator=generator) > 0.3
    for constant in (0.0, 5.0):
        loss = affine_invariant_loss(torch.full_like(target, constant), target, mask)
        assert loss.item() == pytest.approx(1.0, abs=1e-5)


def test_a_dead_output_and_a_flat_one_are_seen():
    def health(disparity):
        found = values(collapse.health_terms(None), Seen(disparity, disparity, {}))
        return {name: float(value) for name, value in found.items()}

    assert "the last ReLU is dead" in collapse.unhealthy(health(torch.zeros(2, 28, 28)))
    flat = torch.full((2, 28, 28), 3.0) + 1e-6 * torch.rand(2, 28, 28)
    assert "collapsed to a constant" in collapse.unhealthy(health(flat))
    assert collapse.unhealthy(health(torch.rand(2, 28, 28))) == ""


@pytest.mark.parametrize("loss, reason", [(1.0, "no better"), (0.95, "no better"), (0.0, "no labeled image")])
def test_the_end_of_the_history_decides(loss, reason):
    history = History(1)
    for step in range(1, 101):
        history.add(step, {"affine_invariant": loss if step > 90 else 0.5})
    with pytest.raises(UserError, match=reason):
        collapse.check_learned("teacher", history)


def test_a_model_that_learned_passes():
    history = History(1)
    for step in range(1, 101):
        history.add(step, {"affine_invariant": 1 - step / 200})
    collapse.check_learned("teacher", history)


def test_images_without_a_usable_target_do_not_count():
    model = DepthAnything("tiny")
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 28, 28, 3), dtype=torch.uint8, generator=generator)
    disparity = torch.rand(3, 28, 28, generator=generator)
    valid = torch.ones(3, 28, 28, dtype=torch.bool)
    valid[1] = False
    part = {"images": images, "disparity": disparity, "valid": valid, "unusable": torch.tensor(1.0)}
    rest = {name: tensor[[0, 2]] for name, tensor in part.items() if name != "unusable"}
    with_bad = values(teacher_terms(TRAINING), teacher_output(model, part))
    without = values(teacher_terms(TRAINING), teacher_output(model, rest | {"unusable": torch.tensor(0.0)}))
    assert with_bad["affine_invariant"].item() == pytest.approx(without["affine_invariant"].item(), rel=1e-5)
    assert with_bad["unusable_targets"] == 1
