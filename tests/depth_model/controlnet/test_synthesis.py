"""What diffusers makes of a ControlNet of ours, and the figure of several models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model.controlnet.base import load_base, new_controlnet
from depth_model.controlnet.synthesis import figure, load_controlnet, synthesized, synthesizer, write_figure
from depth_model.errors import UserError
from tasks.commands.controlnet import _write

pytest.importorskip("diffusers")


def test_diffusers_loads_it_and_its_pipeline_draws_the_same_twice(tmp_path):
    base = load_base("tiny")
    made = new_controlnet(base, 3)
    for block in (*made.controlnet_down_blocks, made.controlnet_cond_embedding.conv_out):  # as if it had learned
        torch.nn.init.normal_(block.weight)
    _write(tmp_path, made, {})
    loaded = load_controlnet(str(tmp_path))
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in made.state_dict().items())
    pipeline = synthesizer(base, loaded, torch.device("cpu"))
    near = np.zeros((32, 48, 3), np.uint8)
    near[8:24, 8:24] = 255
    one, again, other = (synthesized(pipeline, depth, "a room", 1, 2) for depth in (near, near, near[::-1].copy()))
    assert (one.shape, one.dtype) == ((32, 48, 3), np.uint8)
    np.testing.assert_array_equal(one, again)
    far = np.zeros_like(near)
    assert (synthesized(pipeline, far, "a room", 1, 2) != one).any()
    rows = [(near, {"ours": (near, one), "theirs": (far, other)})] * 2
    heads = ["image", "depth: ours", "synthesis: ours", "depth: theirs", "synthesis: theirs"]
    assert [place.get_title() for place in figure(rows).axes] == [*heads, *[""] * 5]
    write_figure(tmp_path / "figure.png", rows)
    assert Image.open(tmp_path / "figure.png").size[0] > 1000


def test_a_controlnet_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"--controlnet .*: cannot be loaded"):
        load_controlnet(str(tmp_path))
