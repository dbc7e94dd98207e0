"""Names of the same tensors in the layouts people have, without reading or writing any file.

Inside the project every state dict has the names of the official `depth_anything_vit*14.pth` (`pretrained.*`,
`depth_head.*`, docs/paper.md 8.1). Translated from: transformers' DepthAnything and Dinov2 (key names of
versions 4 and 5), plain DINOv2 and DINOv3, and timm; translated to: transformers as on the model hub (section 8.2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from depth_model.errors import UserError


class BadCheckpoint(UserError, ValueError):
    """A file is no checkpoint this project can read; the message names it, the reason and what is accepted."""


def official_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the tensors of any known layout to the official names. Raises BadCheckpoint for an unknown one."""
    if "pretrained.cls_token" in state:
        return dict(state)
    if "cls_token" in state and "blocks.0.attn.qkv.weight" in state:
        named = _dinov3_names(state) if _is_dinov3(state) else _without_timms_registers(state)
        return {f"pretrained.{name}": value for name, value in named.items()}
    for prefix in ("backbone.", "dinov2.", "dinov2_with_registers.", ""):
        if f"{prefix}embeddings.cls_token" in state:
            return _from_transformers(_with_backbone_prefix(state, prefix))
    raise BadCheckpoint(f"tensor {next(iter(state))!r} is of no known layout; give DINOv2 or Depth Anything")


def _without_timms_registers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with registers as DINOv2 has them; timm adds the position of the class token to that token."""
    if "reg_token" not in state:
        return state
    others = {name: value for name, value in state.items() if name != "reg_token"}
    return others | {"register_tokens": state["reg_token"], "pos_embed": with_class_position(state["pos_embed"])}


def _is_dinov3(state: dict[str, Tensor]) -> bool:
    return "pos_embed" not in state and bool({"reg_token", "storage_tokens", "register_tokens"} & state.keys())


def _dinov3_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a DINOv3 encoder of timm or of its authors under DINOv2's names.

    The authors' files hold buffers that follow from the size, and a bias of queries, keys and values that is zero in
    all of them; raises BadCheckpoint where it is not, for this encoder has none.
    """
    named = {}
    for name, value in state.items():
        if name.endswith("attn.qkv.bias") and value.any():
            raise BadCheckpoint(f"tensor {name!r} is not zero; DINOv3 is read without a bias of attention")
        if not name.endswith(("attn.qkv.bias", "attn.qkv.bias_mask")) and not name.startswith("rope"):
            for theirs, ours in DINOV3_NAMES.items():
                name = name.replace(theirs, ours)
            named[name] = value
    return named


DINOV3_NAMES = {
    "gamma_1": "ls1.gamma",
    "gamma_2": "ls2.gamma",
    "reg_token": "register_tokens",
    "storage_tokens": "register_tokens",
}
"""timm's and the authors' names of what DINOv2 has too."""


def with_class_position(positions: Tensor) -> Tensor:
    """Return the `positions` (1, N, D) of patches with one of zero for the class token in front, (1, 1 + N, D)."""
    return torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)


def official_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate to DINOv2's names and drop what is no part of the encoder. Raises BadCheckpoint."""
    named = official_names(state).items()
    return {name.removeprefix("pretrained."): value for name, value in named if name.startswith("pretrained.")}


def transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate official names to those of transformers' DepthAnythingForDepthEstimation (as on the model hub)."""
    table = _name_table(block_count(state, "pretrained.blocks."))
    result = {}
    for name, value in state.items():
        translated = _translate(name, table)
        if ".attn.qkv." not in name:
            result[translated] = value
            continue
        for role, part in zip(("query", "key", "value"), value.chunk(3)):
            result[translated.replace("attention.qkv", f"attention.attention.{role}")] = part
    return result


def _from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    depth = block_count(state, "backbone.encoder.layer.")
    table = {theirs: ours for ours, theirs in _name_table(depth).items()}
    renamed = _fuse_attention({_version_4_name(name): value for name, value in state.items()}, depth)
    return {_translate(name, table): value for name, value in renamed.items()}


def _fuse_attention(state: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Join query, key and value of each block into one tensor, in this order."""
    for block in range(depth):
        for kind in ("weight", "bias"):
            prefix = f"backbone.encoder.layer.{block}.attention."
            parts = [state.pop(f"{prefix}attention.{role}.{kind}", None) for role in ("query", "key", "value")]
            if all(part is not None for part in parts):
                state[f"{prefix}qkv.{kind}"] = torch.cat(parts)
    return state


def _version_4_name(name: str) -> str:
    """Undo the renaming of transformers 5."""
    for role in ("query", "key", "value"):
        name = name.replace(f".attention.{role[0]}_proj.", f".attention.attention.{role}.")
    return name.replace(".attention.o_proj.", ".attention.output.dense.")


def _with_backbone_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    if prefix == "backbone.":
        return dict(state)
    # Dinov2ForImageClassification carries a classifier beside the encoder, which nobody here wants.
    wanted = ((name, value) for name, value in state.items() if not name.startswith("classifier."))
    return {f"backbone.{name.removeprefix(prefix)}": value for name, value in wanted}


def block_count(state: dict[str, Tensor], prefix: str) -> int:
    """Return how many encoder blocks are named `prefix` + number in `state`."""
    numbers = (name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix))
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


def _translate(name: str, table: dict[str, str]) -> str:
    """Translate a tensor by its own name or by its module's; leave it alone when neither is known."""
    module, _, kind = name.rpartition(".")
    return table.get(name) or (f"{table[module]}.{kind}" if module in table else name)


def _name_table(depth: int) -> dict[str, str]:
    """Return official name -> transformers' name of every tensor or module (docs/paper.md 8.2)."""
    table = {
        "pretrained.cls_token": "backbone.embeddings.cls_token",
        "pretrained.mask_token": "backbone.embeddings.mask_token",
        "pretrained.register_tokens": "backbone.embeddings.register_tokens",
        "pretrained.pos_embed": "backbone.embeddings.position_embeddings",
        "pretrained.patch_embed.proj": "backbone.embeddings.patch_embeddings.projection",
        "pretrained.norm": "backbone.layernorm",
        "depth_head.scratch.output_conv1": "head.conv1",
        "depth_head.scratch.output_conv2.0": "head.conv2",
        "depth_head.scratch.output_conv2.2": "head.conv3",
    }
    for block in range(depth):
        for ours, theirs in BLOCK_NAMES.items():
            table[f"pretrained.blocks.{block}.{ours}"] = f"backbone.encoder.layer.{block}.{theirs}"
    for tap in range(4):
        table |= _tap_names(tap)
    return table


BLOCK_NAMES = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


def _tap_names(tap: int) -> dict[str, str]:
    """Return the names of the decoder's modules for the tap 0 (finest) to 3; fusion counts from the coarsest."""
    ours, theirs = f"depth_head.scratch.refinenet{tap + 1}", f"neck.fusion_stage.layers.{3 - tap}"
    names = {
        f"depth_head.projects.{tap}": f"neck.reassemble_stage.layers.{tap}.projection",
        f"depth_head.resize_layers.{tap}": f"neck.reassemble_stage.layers.{tap}.resize",
        f"depth_head.scratch.layer{tap + 1}_rn": f"neck.convs.{tap}",
        f"{ours}.out_conv": f"{theirs}.projection",
    }
    for unit in (1, 2):
        for conv in (1, 2):
            names[f"{ours}.resConfUnit{unit}.conv{conv}"] = f"{theirs}.residual_layer{unit}.convolution{conv}"
    return names
