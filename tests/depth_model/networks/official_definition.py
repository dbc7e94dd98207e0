"""Depth Anything as its authors define it (docs/paper.md 2.2, 8.1), operation by operation from a state dict.

Written from the definition, not for speed: plain attention, every 1x1 convolution after its upsampling. It shares no
code with the project.
"""

from __future__ import annotations

import math
import re

import torch
from torch.nn import functional


def official_disparity(state, images, heads, blocks):
    """Return disparity (B, H, W) of normalized images (B, 3, H, W) with the weights of an official .pth."""
    rows, columns = images.shape[2] // 14, images.shape[3] // 14
    levels = _encoder(_below(state, "pretrained."), images, rows, columns, heads, blocks)
    return _decoder(_below(state, "depth_head."), levels, rows, columns)


def _below(state, prefix):
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _encoder(state, images, rows, columns, heads, blocks):
    tokens = functional.conv2d(images, *_pair(state, "patch_embed.proj"), stride=14)
    batch, width = tokens.shape[:2]
    tokens = tokens.reshape(batch, width, rows * columns).permute(0, 2, 1)
    tokens = torch.cat((state["cls_token"].repeat(batch, 1, 1), tokens), 1) + _positions(state, rows, columns)
    depth = 1 + max(int(found[1]) for name in state if (found := re.match(r"blocks\.(\d+)\.", name)))
    levels = []
    for number in range(depth):
        block = _below(state, f"blocks.{number}.")
        tokens = tokens + block["ls1.gamma"] * _attention(block, _norm(block, "norm1", tokens), heads)
        hidden = functional.gelu(functional.linear(_norm(block, "norm2", tokens), *_pair(block, "mlp.fc1")))
        tokens = tokens + block["ls2.gamma"] * functional.linear(hidden, *_pair(block, "mlp.fc2"))
        if number in blocks:
            levels.append(_norm(state, "norm", tokens)[:, 1:])
    return levels


def _positions(state, rows, columns):
    table = state["pos_embed"]
    side = math.isqrt(table.shape[1] - 1)
    if (rows, columns) == (side, side):
        return table
    grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factor = (rows + 0.1) / side, (columns + 0.1) / side
    grid = functional.interpolate(grid, scale_factor=factor, mode="bicubic")
    assert grid.shape[2:] == (rows, columns)
    return torch.cat((table[:, :1], grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)), 1)


def _attention(block, tokens, heads):
    batch, count, width = tokens.shape
    joined = functional.linear(tokens, *_pair(block, "attn.qkv"))
    query, key, value = joined.reshape(batch, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    weights = torch.softmax(query @ key.mT / math.sqrt(width // heads), -1)
    return functional.linear((weights @ value).transpose(1, 2).reshape(batch, count, width), *_pair(block, "attn.proj"))


def _decoder(state, levels, rows, columns):
    maps = []
    for number, tokens in enumerate(levels):
        image = tokens.permute(0, 2, 1).reshape(len(tokens), -1, rows, columns)
        image = functional.conv2d(image, *_pair(state, f"projects.{number}"))
        if number in (0, 1):
            image = functional.conv_transpose2d(image, *_pair(state, f"resize_layers.{number}"), stride=4 >> number)
        if number == 3:
            image = functional.conv2d(image, *_pair(state, "resize_layers.3"), stride=2, padding=1)
        maps.append(functional.conv2d(image, state[f"scratch.layer{number + 1}_rn.weight"], padding=1))
    path = None
    for number in (4, 3, 2, 1):
        fusion = _below(state, f"scratch.refinenet{number}.")
        own = maps[number - 1]
        path = own if path is None else path + _residual(fusion, "resConfUnit1", own)
        path = _residual(fusion, "resConfUnit2", path)
        size = maps[number - 2].shape[2:] if number > 1 else [2 * length for length in path.shape[2:]]
        path = functional.interpolate(path, tuple(size), mode="bilinear", align_corners=True)
        path = functional.conv2d(path, *_pair(fusion, "out_conv"))
    path = functional.conv2d(path, *_pair(state, "scratch.output_conv1"), padding=1)
    path = functional.interpolate(path, (14 * rows, 14 * columns), mode="bilinear", align_corners=True)
    path = functional.relu(functional.conv2d(path, *_pair(state, "scratch.output_conv2.0"), padding=1))
    return functional.relu(functional.conv2d(path, *_pair(state, "scratch.output_conv2.2")))[:, 0]


def _residual(fusion, name, values):
    hidden = functional.conv2d(functional.relu(values), *_pair(fusion, f"{name}.conv1"), padding=1)
    return values + functional.conv2d(functional.relu(hidden), *_pair(fusion, f"{name}.conv2"), padding=1)


def _norm(state, name, tokens):
    return functional.layer_norm(tokens, tokens.shape[-1:], *_pair(state, name), eps=1e-6)


def _pair(state, name):
    return state[f"{name}.weight"], state[f"{name}.bias"]
