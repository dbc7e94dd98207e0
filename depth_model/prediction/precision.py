"""A model in bfloat16 for prediction, with what needs more digits left in float32."""

from __future__ import annotations

import copy

import torch

from depth_model.networks.depth_anything import DepthAnything


def bfloat16_copy(model: DepthAnything) -> DepthAnything:
    """Return a copy of `model` that computes in bfloat16; it still takes float32 images and gives float32 disparity.

    Patch embedding, class token and position table stay float32, and so does the last convolution, since bfloat16 has
    only 256 steps per octave; together they are less than 1 % of the work.
    """
    half = copy.deepcopy(model)
    half.encoder.blocks.to(torch.bfloat16)
    half.encoder.norm.to(torch.bfloat16)
    half.decoder.to(torch.bfloat16)
    half.decoder.scratch.output_conv2[2] = copy.deepcopy(model.decoder.scratch.output_conv2[2])
    return half
