"""MiDaS and ZoeDepth with the decoder that they came with, for the comparison of Tables 10 and 11.

Read from a folder of transformers' DPTForDepthEstimation on any backbone that MiDaS was released with (ViT, BEiT,
Swin 2, the hybrid of a ResNet and a ViT), or of ZoeDepthForDepthEstimation, of which this is the relative model: its
head in meters is left out, as fine-tuning has a new one. The networks are transformers' own, whose parameter names a
saved model keeps; the last map alone is enlarged to the size of our images, not of those that MiDaS sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_model.encoders.midas import (
    HYBRID,
    NEVER_RUN,
    as_midas_sees,
    kind_of,
    library,
    loaded,
    read_configuration,
    remember_positions,
)
from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.dpt import DecoderMaps
from depth_model.networks.encoder import patch_grid
from depth_model.networks.variants import PATCH

KINDS = ("dpt", "beit", "swinv2", HYBRID)
"""Backbones that MiDaS was released with."""
SIDE = 16
"""Pixels that MiDaS sees for a patch of ours: the patch of its ViT and BEiT, half of Swin 2's coarsest stride."""
_RANDOM = ("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate")
_PASSING = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")


def is_whole(shape: Mapping[str, Any]) -> bool:
    """Whether `shape`, of a saved model's encoder, is that of an `OwnEncoder` and not of a `MidasEncoder`."""
    return "neck_hidden_sizes" in shape


def read_whole(folder: str | Path) -> Any:
    """Return transformers' DPTForDepthEstimation in a folder for which `is_midas`.

    Nothing is downloaded, and no pickle is read but as tensors alone. Raises BadCheckpoint for a backbone not in KINDS
    and for weights that do not fit, and UserError.
    """
    config = _fixed(read_configuration(folder))
    if kind_of(config) not in KINDS:
        raise BadCheckpoint(
            f"{folder}: MiDaS has no encoder of the kind {kind_of(config)}; known are {', '.join(KINDS)}"
        )
    return loaded(config, folder, ("dpt.", "backbone.", "neck.", "head."))


def random_whole(shape: Mapping[str, Any], seed: int = 0) -> Any:
    """Return such a model of `shape`, as `OwnEncoder` has it, with weights drawn from `seed`.

    Raises KeyError, TypeError or ValueError for a shape that is none, and UserError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return library("dpt").DPTForDepthEstimation(library("dpt").DPTConfig.from_dict(dict(shape)))


class OwnEncoder(nn.Module):
    """The backbone of `whole`, a DPTForDepthEstimation, which gives its decoder four states.

    `size` is that of the other encoders it is compared with, `shape` what `random_whole` builds it from.
    """

    patch = PATCH
    """Side in pixels, of the image as it comes in, of what is enlarged to SIDE pixels."""

    def __init__(self, size: str, whole: Any) -> None:
        super().__init__()
        self.size, self.kind, self.shape = size, kind_of(whole.config), _lasting(whole.config.to_dict())
        self.backbone = whole.dpt if whole.backbone is None else whole.backbone
        if self.kind in ("dpt", HYBRID):
            self.backbone.layernorm = nn.Identity()  # no state has seen it
        if self.kind == HYBRID:
            self.backbone.embeddings.backbone.bit.norm = nn.Identity()  # nor this one

    def forward(self, images: Tensor, blocks: Sequence[int] = ()) -> list[Tensor]:
        """Return four states, finest first: tokens with the class token (B, 1 + h * w, D) or maps (B, C, ...).

        `images` are as for `Encoder`: (B, 3, 14 h, 14 w), with ImageNet's mean and deviation; they are enlarged to
        (16 h, 16 w) and brought to MiDaS's. Which blocks they are of is in `shape`, not in `blocks`. Raises ValueError
        for other sizes.
        """
        grid = patch_grid(images, self.patch)
        shown = as_midas_sees(images, [SIDE * count for count in grid])
        if self.kind in ("dpt", HYBRID):
            return self._tokens(shown)
        if self.kind == "beit":
            remember_positions(grid)
        return list(self.backbone.forward_with_filtered_kwargs(shown).feature_maps)

    def _tokens(self, shown: Tensor) -> list[Tensor]:
        vit, options = self.backbone, {"interpolate_pos_encoding": True} if self.kind == HYBRID else {}
        embedded = vit.embeddings(shown, **options)
        found, state = list(embedded.intermediate_activations or ()), embedded.last_hidden_states
        wanted = self.shape["backbone_out_indices"][len(found) :]
        for number, layer in enumerate(vit.encoder.layer):
            state = layer(state)
            found += [state] * (number in wanted)
        return found


class OwnDecoder(nn.Module):
    """The decoder of `whole`, a DPTForDepthEstimation, as `MetricDepth` takes one."""

    def __init__(self, whole: Any, patch: int = PATCH) -> None:
        super().__init__()
        self.neck, self.head, self.patch = _neck(whole), whole.head, patch
        self.features = whole.config.fusion_hidden_size

    def maps(self, states: Sequence[Tensor], rows: int, columns: int) -> DecoderMaps:
        """Return what it makes of the `states` of `OwnEncoder`, (B, patch * rows, patch * columns) large at last."""
        bottleneck, *paths = fused(self.neck, states, rows, columns)
        last, (first, _, second, _, third, _) = paths[self.head.config.head_in_index], self.head.head
        if self.head.projection is not None:
            last = functional.relu(self.head.projection(last))
        size = self.patch * rows, self.patch * columns
        full = functional.interpolate(first(last), size=size, mode="bilinear", align_corners=True)
        hidden = functional.relu(second(full))
        with torch.autocast(hidden.device.type, enabled=False):  # as our decoder does, for the sake of fine steps
            output = third.float()(hidden.float())[:, 0]
        return DecoderMaps(bottleneck, tuple(paths), hidden, output)


class OwnPyramid(nn.Module):
    """Encoder and decoder of `whole` as what a segmentation head reads: four maps of `dimension` channels, at strides
    of a quarter, a half, one and two patches."""

    patch, depth = PATCH, 4

    def __init__(self, size: str, whole: Any) -> None:
        super().__init__()
        self.encoder, self.neck = OwnEncoder(size, whole), _neck(whole)
        self.size, self.shape, self.dimension = size, self.encoder.shape, whole.config.fusion_hidden_size

    def forward(self, images: Tensor, blocks: Sequence[int] = ()) -> list[Tensor]:
        """Return the maps of `images`, which are as for `OwnEncoder`, finest first."""
        _, *paths = fused(self.neck, self.encoder(images), *patch_grid(images, self.patch))
        return [functional.avg_pool2d(path, 2) for path in reversed(paths)]  # the last a fusion does is to enlarge


def fused(neck: Any, states: Sequence[Tensor], rows: int, columns: int) -> list[Tensor]:
    """Return what transformers' `neck` makes of four states: the coarsest level, and each of its fusions, coarsest
    first."""
    if neck.reassemble_stage is not None:
        states = neck.reassemble_stage(list(states), rows, columns)
    levels = [convolution(state) for convolution, state in zip(neck.convs, states, strict=True)]
    return [levels[-1], *neck.fusion_stage(levels)]


def _neck(whole: Any) -> Any:
    for name, parameter in whole.neck.named_parameters():
        parameter.requires_grad_(NEVER_RUN not in name)
    return whole.neck


def _fixed(config: Any) -> Any:
    """Return `config` without dropout: a step is a function of its batch, as with the other encoders."""
    for one in (config, config.backbone_config):
        for name in _RANDOM:
            if getattr(one, name, None):
                setattr(one, name, 0.0)
    return config


def _lasting(values: Any) -> Any:
    """Return `values` of a configuration without what says nothing of the network."""
    if not isinstance(values, dict):
        return list(values) if isinstance(values, tuple) else values
    return {name: _lasting(value) for name, value in values.items() if name not in _PASSING}
