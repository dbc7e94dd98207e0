"""A ControlNet on the tiny base: it starts as nothing, goes on after a kill, follows its conditioning, and diffusers
loads it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from depth_model.controlnet import base as bases
from depth_model.controlnet import train
from depth_model.controlnet.examples import Examples
from depth_model.controlnet.settings import TINY_SETTINGS
from depth_model.errors import UserError

pytest.importorskip("diffusers")
SETTINGS = dataclasses.replace(TINY_SETTINGS, steps=4, batch=2, side=16, held_out=2)


@pytest.fixture(scope="module")
def base():
    return bases.load_base("tiny")


@pytest.fixture(scope="module")
def examples(pools):
    return Examples(pools[1], 16, "a room", {"scenes/000": "a hall"})


def trained(base, examples, folder, settings=SETTINGS, **options):
    told = []
    model = train.train_controlnet(base, examples, settings, folder, lambda *one: told.append(one), **options)
    return model, told


def test_the_tiny_base_has_latents_like_a_trained_one(base):
    pictures = torch.nn.functional.interpolate(torch.rand(32, 3, 4, 4) * 2 - 1, size=32, mode="bilinear")
    latents = base.vae.encode(pictures).latent_dist.mean * base.vae.config.scaling_factor
    assert abs(float(latents.mean())) < 0.3 and 0.5 < float(latents.std()) < 2
    assert bases.stride(base) == 2


def test_examples_are_pictures_with_their_conditioning(examples):
    images, depth, captions = examples.batch([0, 1], np.random.default_rng(0))
    assert images.shape == depth.shape == (2, 3, 16, 16)
    assert -1 <= float(images.min()) and float(images.max()) <= 1
    assert 0 <= float(depth.min()) and float(depth.max()) <= 1 and (depth[:, 0] == depth[:, 2]).all()
    assert captions == ["a hall", "a room"]
    # The labels of these pools are red itself.
    red = images[0, 0].flatten() + 1
    assert np.corrcoef(red.numpy(), depth[0, 0].flatten().numpy())[0, 1] > 0.9


def test_it_starts_as_nothing(base, examples):
    figures = train.following(base, bases.new_controlnet(base, 1), examples, SETTINGS)
    assert figures["right"] == figures["shuffled"] == figures["none"]
    assert (figures["difference"], figures["images"]) == (0, 2)


def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(base, examples, tmp_path, monkeypatch):
    whole, told = trained(base, examples, tmp_path / "whole", checkpoint_every=1)
    assert [step for step, _ in told] == [1, 2, 3, 4]
    loss, seen = train._loss, []

    def killed(*arguments):
        seen.append(arguments[-1])
        if len(seen) == 3:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(train, "_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(base, examples, tmp_path / "killed", checkpoint_every=2)
    resumed, _ = trained(base, examples, tmp_path / "killed", checkpoint_every=2)
    assert seen == [0, 1, 2, 2, 3]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_what_cannot_be_is_one_line(base, examples, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--held-out 7: there are 7 images"):
        trained(base, examples, tmp_path, dataclasses.replace(SETTINGS, held_out=7))
    with pytest.raises(UserError, match="--side 17: this base wants a multiple of 4"):
        trained(base, examples, tmp_path, dataclasses.replace(SETTINGS, side=17))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"--base nobody/at-all: cannot be loaded .* or tiny"):
        bases.load_base("nobody/at-all")


@pytest.mark.slow
def test_it_follows_its_conditioning(base, pools, tmp_path):
    settings = dataclasses.replace(TINY_SETTINGS, steps=250, batch=4, side=16, held_out=3)
    examples = Examples(pools[1], 16)
    model, _ = trained(base, examples, tmp_path, settings)
    figures = train.following(base, model, examples, settings)
    assert figures["right"] < figures["shuffled"]
    assert figures["right"] < figures["none"]
