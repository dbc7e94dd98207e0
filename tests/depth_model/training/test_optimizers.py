"""What decays, what does not, and how fast each part learns."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import DepthAnything, build_encoder
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.training.optimizers import adamw, linear_decay, parameter_groups, set_schedule


class Small(nn.Module):
    """The parameter names and shapes that matter, as the real model has them."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.pos_embed = nn.Parameter(torch.ones(1, 5, 4))
        self.encoder.cls_token = nn.Parameter(torch.ones(1, 1, 4))
        self.encoder.gamma = nn.Parameter(torch.ones(4))
        self.encoder.norm = nn.LayerNorm(4)
        self.encoder.qkv = nn.Linear(4, 12)
        self.decoder = nn.Conv2d(4, 1, 1)


def by_name(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group for group in groups for parameter in group["params"]}


def test_every_trainable_parameter_is_in_one_group():
    model = Small()
    groups = parameter_groups(model, 5e-6, 5e-5, 0.01)
    listed = [parameter for group in groups for parameter in group["params"]]
    assert len(listed) == len({id(one) for one in listed}) == len(list(model.parameters()))
    assert len(groups) == 4


def test_rates_and_decay_go_where_they_belong():
    model = Small()
    groups = by_name(model, parameter_groups(model, 5e-6, 5e-5, 0.01))
    decayed = {name for name, group in groups.items() if group["weight_decay"]}
    assert decayed == {"encoder.qkv.weight", "decoder.weight"}
    assert {name for name, group in groups.items() if group["lr"] == 5e-5} == {
        "decoder.weight",
        "decoder.bias",
    }


def test_frozen_parameters_are_left_out():
    model = Small()
    model.encoder.requires_grad_(False)
    assert {group["part"] for group in parameter_groups(model, 1e-3, 1e-3, 0.01)} == {"decoder"}


def test_rates_fall_linearly_to_zero():
    optimizer = adamw(Small(), 1e-3, 1e-2, 0.01)
    seen = []
    for step in range(5):
        set_schedule(optimizer, partial(linear_decay, 0.0), step, 4)
        seen.append(next(group["lr"] for group in optimizer.param_groups if group["part"] == "decoder"))
    assert seen == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3, 0.0])


@pytest.mark.parametrize("warmup", [4, 0.5])
def test_rates_rise_first_when_asked(warmup):
    group = {"base_lr": 8.0}
    rates = [linear_decay(warmup, group, step, 8)["lr"] for step in range(8)]
    assert rates == pytest.approx([2 * 8 / 8, 4 * 7 / 8, 6 * 6 / 8, 8 * 5 / 8, 4, 3, 2, 1])


def test_a_schedule_may_move_the_betas_too():
    optimizer = adamw(Small(), 1e-3, 1e-2, 0.01)
    set_schedule(optimizer, lambda group, step, total: {"lr": 2 * group["base_lr"], "betas": (0.5, 0.99)}, 0, 1)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.5, 0.99)}
    assert {group["lr"] for group in optimizer.param_groups} == {2e-3, 2e-2}


def test_a_step_is_that_of_adamw_by_hand():
    model = Small()
    optimizer = adamw(model, 1e-3, 1e-2, 0.1)
    before = model.decoder.weight.detach().clone()
    model.decoder(torch.ones(1, 4, 2, 2)).sum().backward()
    optimizer.step()
    # At the first step Adam's update is the sign of the gradient; the decay is taken off before it.
    torch.testing.assert_close(model.decoder.weight.detach(), before * (1 - 1e-2 * 0.1) - 1e-2, atol=1e-6, rtol=0)


def depth_loss(model, images):
    return model(images).square().mean()


def query_loss(model, images):
    output = model.output(images)
    return sum(one.square().mean() for one in (*output.classes, *output.masks))


MODELS = {
    "relative": lambda: (DepthAnything("tiny_reg"), depth_loss),
    "metric bins": lambda: (MetricDepth(DepthAnything("tiny"), "bins", 10.0), depth_loss),
    "Mask2Former": lambda: (
        Segmentation(build_encoder("tiny"), class_lists()["ade20k"], Mask2FormerSettings(32, 5, 2, 1, 1, 48, 16), 28),
        query_loss,
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_steps_are_those_of_torchs_plain_adamw(kind):
    model, loss = MODELS[kind]()
    peer = copy.deepcopy(model)
    optimizer = adamw(model, 1e-4, 1e-3, 0.05)
    plain = torch.optim.AdamW(parameter_groups(peer, 1e-4, 1e-3, 0.05), betas=(0.9, 0.999), foreach=False)
    for step in range(3):
        optimizer.zero_grad()
        loss(model, torch.randn(2, 3, 42, 56, generator=torch.Generator().manual_seed(step))).backward()
        for one, other in zip(model.parameters(), peer.parameters(), strict=True):
            other.grad = None if one.grad is None else one.grad.clone()
        optimizer.step()
        plain.step()
        for one, other in zip(model.parameters(), peer.parameters(), strict=True):
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)
