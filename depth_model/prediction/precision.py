"""A model in 16 bits for prediction and export, with what needs more digits left in float32."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TypeVar

import torch
from torch import nn

from depth_model.networks.depth_anything import DepthAnything

Model = TypeVar("Model", bound=nn.Module)


def bfloat16_copy(model: DepthAnything) -> DepthAnything:
    """Return a copy of `model` that computes in bfloat16; it still takes float32 images and gives float32 disparity.

    Patch embedding, class token and position table stay float32, and so does the last convolution, since bfloat16 has
    only 256 steps per octave; together they are less than 1 % of the work.
    """
    return lower_copy(model, torch.bfloat16)


def lower_copy(model: Model, dtype: torch.dtype) -> Model:
    """Return a copy of a depth or segmentation model that computes as `bfloat16_copy` says, in `dtype`."""
    half = copy.deepcopy(model)
    for name in ("encoder.blocks", "encoder.norm", "decoder", "head"):
        with suppress(AttributeError):  # of decoder and head a model may have one
            half.get_submodule(name).to(dtype)
    if hasattr(model, "decoder"):
        half.decoder.scratch.output_conv2[2] = copy.deepcopy(model.decoder.scratch.output_conv2[2])
    return half
