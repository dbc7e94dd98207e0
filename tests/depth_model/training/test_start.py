"""What teacher and student start from, and the options of the second Depth Anything."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from depth_model.networks.variants import VARIANTS
from depth_model.objectives import affine_invariant_loss, gradient_matching_loss
from depth_model.training.settings import TeacherSettings
from depth_model.training.start import Seen, initial_model, label_terms
from depth_model.training.teacher import train_teacher
from depth_model.training.terms import values

from .small_run import MACHINE, SETTINGS


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return {
        "disparity": torch.rand(2, 28, 42, generator=generator),
        "valid": torch.rand(2, 28, 42, generator=generator) < 0.8,
    }


def test_gradient_matching_is_added_with_its_weight(batch):
    disparity = torch.rand(2, 28, 42, generator=torch.Generator().manual_seed(1))
    expected = affine_invariant_loss(disparity, batch["disparity"], batch["valid"])
    gradient = gradient_matching_loss(disparity, batch["disparity"], batch["valid"])
    assert gradient > 0
    with_both = dataclasses.replace(SETTINGS, gradient_matching=2.0)
    both, one = (label_terms(lambda batch: batch, training) for training in (with_both, SETTINGS))
    seen = Seen(disparity, disparity, batch)
    assert values(both, seen) == {"affine_invariant": expected, "gradient_matching": gradient}
    assert [(term.name, term.weight) for term in both] == [("affine_invariant", 1.0), ("gradient_matching", 2.0)]
    assert values(one, seen) == {"affine_invariant": expected}
    assert [(term.name, term.weight) for term in one] == [("affine_invariant", 1.0)]


def test_the_decoder_reads_the_blocks_of_either_version():
    spread = dataclasses.replace(SETTINGS, out_indices="spread")
    assert initial_model("vits", "none", 0, SETTINGS, MACHINE).blocks == [8, 9, 10, 11]
    assert initial_model("vits", "none", 0, spread, MACHINE).blocks == [2, 5, 8, 11]
    assert VARIANTS["vitl"].spread == (4, 11, 17, 23)


def gradients_and_bytes(machine):
    model = initial_model("tiny", "none", 1, SETTINGS, machine)
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    images = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(images).square().mean()
    loss.backward()
    parameters = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return parameters, sum(kept.values())


def test_checkpointing_gives_the_same_gradients_and_keeps_less():
    expected, much = gradients_and_bytes(MACHINE)
    found, little = gradients_and_bytes(dataclasses.replace(MACHINE, gradient_checkpointing=True))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient)
    assert little < 0.8 * much


def test_training_goes_through_the_options(pools, tmp_path):
    training = dataclasses.replace(SETTINGS, gradient_matching=0.5, out_indices="spread")
    machine = dataclasses.replace(MACHINE, gradient_checkpointing=True)
    settings = TeacherSettings("tiny", 40, 4, 1e-3, 1e-3)
    _, history = train_teacher(pools[0], "none", settings, training, 3, tmp_path, lambda *_: None, machine)
    assert history.recent("gradient_matching", 10) < history.recent("gradient_matching", 60)
