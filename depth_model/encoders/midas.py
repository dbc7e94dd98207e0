"""MiDaS's encoder under our decoder and heads, for the comparison of Tables 10 and 11.

Read from a folder of transformers' DPTForDepthEstimation: MiDaS v3 (`dpt-large`, ViT-L/16) and v3.1 (`dpt-beit-*`,
BEiT/16; the encoder of ZoeDepth, whose figures are MiDaS's row in Table 10). The blocks are transformers' own, whose
parameter names a saved model keeps. Swin and the hybrid, whose tokens have several strides, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_model import files
from depth_model.networks import checkpoints
from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.encoder import patch_grid
from depth_model.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from depth_model.networks.transformers_library import transformers_module
from depth_model.networks.variants import PATCH

MIDAS_MEAN = MIDAS_STD = 0.5
"""Of every channel in [0, 1], in MiDaS v3 and v3.1 (`load_model` of its released code)."""
MODELS = {"dpt": ("DPTConfig", "DPTModel"), "beit": ("BeitConfig", "BeitModel")}
"""transformers' classes of the two kinds of backbone."""

_SHARED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act")
_SHARED += ("image_size", "patch_size", "layer_norm_eps")
_POSITIONS = ("use_absolute_position_embeddings", "use_relative_position_bias", "use_shared_relative_position_bias")
SHAPE = {"dpt": (*_SHARED, "qkv_bias"), "beit": (*_SHARED, *_POSITIONS, "layer_scale_init_value")}
"""The numbers of transformers' configuration that a backbone is built from."""
# A step is a function of its batch, as with the other encoders, which have neither dropout nor stochastic depth.
_FIXED = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_FIXED_OF = {"dpt": _FIXED, "beit": _FIXED | {"drop_path_rate": 0.0}}


class MidasEncoder(nn.Module):
    """A ViT or BEiT with patches of 16 pixels that gives as many tokens as our encoders do with patches of 14.

    `size` names the decoder it is put under (a row of `VARIANTS`); its own width is in `shape`, with
    `model_type` ("dpt" or "beit") and the numbers in `SHAPE`. The weights are drawn from `seed` alone. Raises
    UserError, and KeyError for a shape that lacks something.
    """

    patch = PATCH
    """Side in pixels, of the image as it comes in, of what a token stands for."""

    def __init__(self, size: str, shape: Mapping[str, Any], seed: int = 0) -> None:
        super().__init__()
        self.size, self.shape = size, dict(shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = _random_backbone(self.shape)
        # BEiT's norm follows its pooling and is no part of MiDaS: there it starts as one without weights.
        self.norm = nn.LayerNorm(self.dimension, eps=self.shape["layer_norm_eps"])
        self.backbone.layernorm = nn.Identity()

    @property
    def dimension(self) -> int:
        """Number of channels D of a token."""
        return self.shape["hidden_size"]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.shape["num_hidden_layers"]

    def forward(self, images: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """Return for each of `blocks` (0-based) its patch tokens (B, N, D) after the final LayerNorm.

        `images` are as for `Encoder`: (B, 3, 14 h, 14 w), with ImageNet's mean and deviation. They are enlarged to
        (16 h, 16 w), bilinear, so that N = h * w and decoder, heads and crops stay what they are for every other
        encoder, and brought to MiDaS's mean and deviation. Raises ValueError for other sizes.
        """
        grid, side = patch_grid(images, self.patch), self.shape["patch_size"]
        if self.shape["model_type"] == "beit":
            _remember_positions(grid)
        size = [side * count for count in grid]
        shown = functional.interpolate(_as_midas_sees(images), size=size, mode="bilinear", align_corners=False)
        states = self.backbone(pixel_values=shown, output_hidden_states=True).hidden_states[1:]
        return [self.norm(states[block])[:, 1:] for block in blocks]


def _as_midas_sees(images: Tensor) -> Tensor:
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images * std + (mean - MIDAS_MEAN)) / MIDAS_STD


def _remember_positions(grid: tuple[int, int]) -> None:
    """Fill transformers' cache of relative positions: first filled in inference mode, it would serve no training."""
    with torch.inference_mode(False):
        _library("beit.modeling_beit").BeitRelativePositionBias.generate_relative_position_index(grid)


def _random_backbone(shape: Mapping[str, Any]) -> nn.Module:
    kind = shape["model_type"]
    configuration, model = (getattr(_library(kind), name) for name in MODELS[kind])
    numbers = {name: shape[name] for name in SHAPE[kind]}
    return model(configuration(**numbers, **_FIXED_OF[kind]), add_pooling_layer=False)


def is_midas(path: str | Path) -> bool:
    """Whether `path` is a folder of one of transformers' DPT models, as its config.json says."""
    try:
        return files.read_json(Path(path, "config.json"))["model_type"] == "dpt"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_midas(folder: str | Path, size: str) -> MidasEncoder:
    """Return the encoder in a folder for which `is_midas`, to be put under the decoder of `size`.

    Nothing is downloaded, and no pickle is read but as tensors alone. Raises BadCheckpoint for another backbone than
    ViT and BEiT and for weights that do not fit it, and UserError.
    """
    kind, config = _configuration(Path(folder))
    theirs = _loaded(config, checkpoints.read_tensors(folder), str(folder))
    backbone = theirs.backbone.beit if kind == "beit" else theirs.dpt
    shape = {"model_type": kind, **{name: getattr(backbone.config, name) for name in SHAPE[kind]}}
    encoder = MidasEncoder(size, shape)
    state = {name: value for name, value in backbone.state_dict().items() if not name.endswith("mask_token")}
    norm = {name: state.pop(f"layernorm.{name}", None) for name in ("weight", "bias")}
    if norm["weight"] is not None:
        encoder.norm.load_state_dict(norm)
    checkpoints.load_strictly(encoder.backbone, state, str(folder))
    return encoder


def _configuration(folder: Path) -> tuple[str, Any]:
    """Return the kind of backbone and transformers' configuration, whose making must not reach for the model hub."""
    found = files.read_json(folder / "config.json")
    kind = (found.get("backbone_config") or found).get("model_type")
    strange = "a hybrid" if found.get("is_hybrid") else found.get("backbone") or (kind not in MODELS and kind)
    if strange:
        raise BadCheckpoint(f"{folder}: MiDaS's encoder is {strange}; give dpt-large (ViT) or dpt-beit-* (BEiT)")
    return kind, _library("dpt").DPTConfig.from_dict(found)


def _loaded(config: Any, state: dict[str, Tensor], folder: str) -> nn.Module:
    """Return transformers' model with `state`, whose names it translates from those of any of its versions."""
    try:
        model, report = _library("dpt").DPTForDepthEstimation.from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
        )
    except RuntimeError as error:
        raise BadCheckpoint(f"{folder}: weights and config.json do not agree: {str(error).splitlines()[0]}") from error
    absent = sorted(name for name in report["missing_keys"] if name.startswith(("dpt.", "backbone.")))
    if absent:
        raise BadCheckpoint(f"{folder}: tensor {absent[0]} is missing (and {len(absent) - 1} more)")
    return model


def _library(kind: str) -> Any:
    return transformers_module(kind, "MiDaS's encoder", "take a model with another one")
