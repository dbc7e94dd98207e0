"""MiDaS's encoder under our decoder and heads, for the comparison of Tables 10 and 11.

Read from a folder of transformers' DPTForDepthEstimation: MiDaS v3 (`dpt-large`, ViT-L/16) and v3.1 (`dpt-beit-*`,
BEiT/16), or of its ZoeDepthForDepthEstimation, which has the latter's encoder and whose figures are MiDaS's row in
Table 10. The blocks are transformers' own, whose parameter names a saved model keeps. Swin 2 and the hybrid, whose
tokens have several strides, come with their own decoder alone (`own_decoder`).
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

HYBRID, ZOEDEPTH = "hybrid", "zoedepth"
NEVER_RUN = "fusion_stage.layers.0.residual_layer1."
"""Inside the name of tensors that a DPT has and never reads; released files lack them."""
RELATIVE = (
    "backbone_config",
    "hidden_act",
    "readout_type",
    "reassemble_factors",
    "neck_hidden_sizes",
    "add_projection",
)
RELATIVE += ("fusion_hidden_size", "head_in_index", "use_batch_norm_in_fusion_residual", "use_bias_in_fusion_residual")
"""What of ZoeDepth's configuration its relative model is built from."""
_HEAD = {"relative_head.conv1.": "head.head.0.", "relative_head.conv2.": "head.head.2."}
_HEAD |= {"relative_head.conv3.": "head.head.4.", "relative_head.projection.": "head.projection."}

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
            remember_positions(grid)
        size = [side * count for count in grid]
        shown = as_midas_sees(images, size)
        states = self.backbone(pixel_values=shown, output_hidden_states=True).hidden_states[1:]
        return [self.norm(states[block])[:, 1:] for block in blocks]


def as_midas_sees(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return `images` (B, 3, H, W), which have ImageNet's mean and deviation, with MiDaS's at `size` (bilinear)."""
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    seen = (images * std + (mean - MIDAS_MEAN)) / MIDAS_STD
    return functional.interpolate(seen, size=tuple(size), mode="bilinear", align_corners=False)


def remember_positions(grid: tuple[int, int]) -> None:
    """Fill transformers' cache of relative positions: first filled in inference mode, it would serve no training."""
    with torch.inference_mode(False):
        library("beit.modeling_beit").BeitRelativePositionBias.generate_relative_position_index(grid)


def _random_backbone(shape: Mapping[str, Any]) -> nn.Module:
    kind = shape["model_type"]
    configuration, model = (getattr(library(kind), name) for name in MODELS[kind])
    numbers = {name: shape[name] for name in SHAPE[kind]}
    return model(configuration(**numbers, **_FIXED_OF[kind]), add_pooling_layer=False)


def is_midas(path: str | Path) -> bool:
    """Whether `path` is a folder of one of transformers' DPT or ZoeDepth models, as its config.json says."""
    try:
        return files.read_json(Path(path, "config.json"))["model_type"] in ("dpt", ZOEDEPTH)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_midas(folder: str | Path, size: str) -> MidasEncoder:
    """Return the encoder in a folder for which `is_midas`, to be put under the decoder of `size`.

    Nothing is downloaded, and no pickle is read but as tensors alone. Raises BadCheckpoint for another backbone than
    ViT and BEiT and for weights that do not fit it, and UserError.
    """
    config = read_configuration(folder)
    kind = kind_of(config)
    if kind not in MODELS:
        raise BadCheckpoint(
            f"{folder}: MiDaS's encoder is {kind}: take its own decoder too (start: all), or give dpt-large (ViT) or "
            "dpt-beit-* (BEiT)"
        )
    theirs = loaded(config, folder, ("dpt.", "backbone."))
    backbone = theirs.backbone.beit if kind == "beit" else theirs.dpt
    shape = {"model_type": kind, **{name: getattr(backbone.config, name) for name in SHAPE[kind]}}
    encoder = MidasEncoder(size, shape)
    state = {name: value for name, value in backbone.state_dict().items() if not name.endswith("mask_token")}
    norm = {name: state.pop(f"layernorm.{name}", None) for name in ("weight", "bias")}
    if norm["weight"] is not None:
        encoder.norm.load_state_dict(norm)
    checkpoints.load_strictly(encoder.backbone, state, str(folder))
    return encoder


def read_configuration(folder: str | Path) -> Any:
    """Return transformers' DPTConfig of the model in `folder`, made without the model hub; of ZoeDepth that of its
    relative model. Raises BadCheckpoint for a backbone that the folder only names, and UserError."""
    found = files.read_json(Path(folder, "config.json"))
    if found.get("backbone"):
        raise BadCheckpoint(f"{folder}: its encoder is {found['backbone']}, which is not in the folder")
    if found["model_type"] != ZOEDEPTH:
        return library("dpt").DPTConfig.from_dict(found)
    theirs = library(ZOEDEPTH).ZoeDepthConfig.from_dict(found)
    return library("dpt").DPTConfig(**{name: getattr(theirs, name) for name in RELATIVE})


def kind_of(config: Any) -> str:
    """Return what the backbone of a DPTConfig is: dpt (ViT), hybrid, or the name of transformers, as beit, swinv2."""
    if config.is_hybrid:
        return HYBRID
    return "dpt" if config.backbone_config is None else config.backbone_config.model_type


def loaded(config: Any, folder: str | Path, parts: tuple[str, ...]) -> nn.Module:
    """Return transformers' DPTForDepthEstimation with the weights in `folder`, whose names it translates from those of
    any of its versions. Raises BadCheckpoint where they do not fit and where one whose name begins as one of `parts`
    is missing."""
    state = {_relative_name(name): value for name, value in checkpoints.read_tensors(folder).items()}
    state = {name: value for name, value in state.items() if not name.startswith("metric_head.")}
    try:
        model, report = library("dpt").DPTForDepthEstimation.from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
        )
    except RuntimeError as error:
        raise BadCheckpoint(f"{folder}: weights and config.json do not agree: {str(error).splitlines()[0]}") from error
    absent = sorted(name for name in report["missing_keys"] if name.startswith(parts) and NEVER_RUN not in name)
    if absent:
        raise BadCheckpoint(f"{folder}: tensor {absent[0]} is missing (and {len(absent) - 1} more)")
    return model


def _relative_name(name: str) -> str:
    """Return the name in DPT of a tensor of ZoeDepth's relative model; others keep theirs."""
    for zoedepth, dpt in _HEAD.items():
        if name.startswith(zoedepth):
            return name.replace(zoedepth, dpt, 1)
    return name


def library(kind: str) -> Any:
    """Return the module `kind` of transformers' models; raises UserError."""
    return transformers_module(kind, "MiDaS's encoder", "take a model with another one")
