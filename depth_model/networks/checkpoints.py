"""Checkpoints in the layouts people have: reading by content, and writing a transformers folder.

Tensors come back under the official names (see `checkpoint_names`). A pickle is only ever read with
`torch.load(weights_only=True)`, so a checkpoint cannot run code. Sharded checkpoints are not read;
metric models are read by `metric_depth`.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from depth_model import files
from depth_model.errors import named
from depth_model.networks.checkpoint_names import (
    BadCheckpoint,
    block_count,
    official_encoder,
    official_names,
    transformers_names,
)

ACCEPTED = "a safetensors file, a PyTorch .pth of tensors, or a folder with config.json and model.safetensors"
UNTRAINED = "mask_token"
"""Present in DINOv2's and transformers' files, absent from timm's, used by nobody here."""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file or folder, whatever its extension; names as found.

    A wrapper (`state_dict`, `model`) and DDP's prefix `module.` are taken off. Raises BadCheckpoint for a missing
    file, a pickle that holds more than tensors, or anything that is no checkpoint.
    """
    path = _weights_file(Path(path))
    content = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise BadCheckpoint(f"{path} holds no state dict; give {ACCEPTED}")
    strange = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise BadCheckpoint(f"{path}: entry {strange[0]!r} is no tensor; give {ACCEPTED}")
    return {name.removeprefix("module."): value for name, value in content.items()}


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        if not path.is_file():
            raise BadCheckpoint(f"{path} does not exist; give {ACCEPTED}")
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise BadCheckpoint(f"{path} holds no model.safetensors; give {ACCEPTED}")


def _is_safetensors(path: Path) -> bool:
    """Tell by content: eight bytes with the length of a JSON header, then its opening brace."""
    with open(path, "rb") as handle:
        head = handle.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise BadCheckpoint(f"{path} is damaged ({error}); give {ACCEPTED}") from error


def _read_pickle(path: Path) -> Any:
    with open(path, "rb") as handle:
        head = handle.read(2)
    if head[:1] != b"\x80" and head != b"PK":
        raise BadCheckpoint(f"{path} is no checkpoint; give {ACCEPTED}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadCheckpoint(f"{path} is refused: damaged, or more than tensors in it; give {ACCEPTED}") from error
    except Exception as error:  # Damaged bytes make the unpickler raise anything, even AssertionError.
        raise BadCheckpoint(f"{path} is damaged ({type(error).__name__}); give {ACCEPTED}") from error


def read_model(path: str | Path) -> dict[str, Tensor]:
    """Read a relative-depth checkpoint under the official names. Raises BadCheckpoint when it is none."""
    state = _official(path)
    if not any(name.startswith("depth_head.") for name in state):
        raise BadCheckpoint(f"{path} holds an encoder but no depth decoder; give a Depth Anything checkpoint")
    return state


def read_encoder(path: str | Path) -> dict[str, Tensor]:
    """Read the encoder of a DINOv2 or Depth Anything checkpoint under DINOv2's names. Raises BadCheckpoint."""
    return official_encoder(_official(path))


def _official(path: str | Path) -> dict[str, Tensor]:
    tensors = read_tensors(path)
    with named(str(path)):
        return official_names(tensors)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return `blocks` and `position_embedding` as config.json in the folder `path` tells them; {} for a file.

    A folder of this project names both; another transformers folder names its blocks, and its position embedding
    is "exact", as transformers computes it. Raises BadCheckpoint for a model of another kind.
    """
    config_file = Path(path) / "config.json"
    if not config_file.is_file():
        return {}
    try:
        config = json.loads(config_file.read_text("utf-8"))
        if config["model_type"] != "depth_anything" or config.get("depth_estimation_type") == "metric":
            raise BadCheckpoint(f"{config_file} describes no Depth Anything model for relative depth")
        blocks = [index - 1 for index in config["backbone_config"]["out_indices"]]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise BadCheckpoint(f"{config_file} is no configuration of Depth Anything ({error!r})") from error
    return {"blocks": blocks, "position_embedding": config.get("position_embedding", "exact")}


def load_strictly(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Copy `state` into `module`; names and shapes must agree, only DINOv2's unused mask token may be missing.

    Raises BadCheckpoint with the first difference; `what` says in the message what was to be loaded.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith(UNTRAINED)]
    unknown = [name for name in state if name not in expected]
    shapes = [name for name in state if name in expected and state[name].shape != expected[name].shape]
    for names, complaint in ((missing, "is missing"), (unknown, "is unknown"), (shapes, "has another shape")):
        if names:
            others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise BadCheckpoint(f"{what}: tensor {names[0]} {complaint}{others}; is it a model of this size?")
    module.load_state_dict(state, strict=False)


def write_folder(folder: Path, state: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write a folder that transformers' DepthAnythingForDepthEstimation and its pipeline load as it is.

    `state` has the official names; `settings` are size, blocks, position_embedding, patch, heads, features and
    out_channels of the model, and of a metric one `maximum` (metres), `domain` and `input_size`. The same input gives
    the same bytes; each file appears whole or not at all.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in transformers_names(state).items()}
    files.write_bytes(folder / "model.safetensors", safetensors_bytes(tensors, metadata={"format": "pt"}))
    files.write_json(folder / "preprocessor_config.json", _preprocessor(settings["patch"]))
    files.write_json(folder / "config.json", _configuration(state, settings))


def _configuration(state: dict[str, Tensor], settings: dict[str, Any]) -> dict[str, Any]:
    dimension = state["pretrained.cls_token"].shape[-1]
    maximum = settings.get("maximum", 1)
    backbone = {
        "model_type": "dinov2",
        "hidden_size": dimension,
        "num_hidden_layers": block_count(state, "pretrained.blocks."),
        "num_attention_heads": settings["heads"],
        "mlp_ratio": 4,
        "image_size": 518,
        "patch_size": settings["patch"],
        "out_indices": [block + 1 for block in settings["blocks"]],
        "apply_layernorm": True,
        "reshape_hidden_states": False,
    }
    if "pretrained.register_tokens" in state:
        registers = state["pretrained.register_tokens"].shape[1]
        backbone |= {"model_type": "dinov2_with_registers", "num_register_tokens": registers}
    if "pretrained.pos_embed" not in state:
        # Of a type that transformers refuses: its own DINOv3 has other names, and would start from random weights.
        backbone |= {"model_type": "open_depth_anything_dinov3", "image_size": 512}
    return {
        "architectures": ["DepthAnythingForDepthEstimation"],
        "model_type": "depth_anything",
        "dtype": "float32",
        "backbone_config": backbone,
        "patch_size": settings["patch"],
        "reassemble_hidden_size": dimension,
        "reassemble_factors": [4, 2, 1, 0.5],
        "neck_hidden_sizes": list(settings["out_channels"]),
        "fusion_hidden_size": settings["features"],
        "head_in_index": -1,
        "head_hidden_size": 32,
        "depth_estimation_type": "metric" if "maximum" in settings else "relative",
        "max_depth": int(maximum) if maximum == int(maximum) else maximum,  # transformers wants whole metres
        "size": settings["size"],
        "position_embedding": settings["position_embedding"],
        **{name: settings[name] for name in ("domain", "input_size") if name in settings},
    }


def _preprocessor(patch: int) -> dict[str, Any]:
    side = 518 // patch * patch
    return PREPROCESSOR | {"size": {"height": side, "width": side}, "ensure_multiple_of": patch}


PREPROCESSOR = {
    "image_processor_type": "DPTImageProcessor",
    "do_resize": True,
    "keep_aspect_ratio": True,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "do_pad": False,
}
"""Resizing and normalisation of docs/paper.md 8.3 in transformers' words, but for sizes."""
