"""Checkpoints in the layouts people have: reading by content, and writing a transformers folder.

Tensors come back under the official names (see `checkpoint_names`). A pickle is only ever read with
`torch.load(weights_only=True)`, so a checkpoint cannot run code. Sharded checkpoints are not read;
metric models are read by `metric_depth`.
"""

from __future__ import annotations

import json
import pickle
import re
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
    official_encoder,
    official_names,
    transformers_names,
)
from depth_model.networks.releases import GENERIC
from depth_model.networks.variants import VARIANTS
from depth_model.networks.wrappers import state_dict_in, without_wrappers

ACCEPTED = "a safetensors file, a PyTorch .pth of tensors, or a folder with config.json and model.safetensors"
SETTINGS = "open_depth_anything"
"""Key of what a released layout leaves no place for, beside the weights in a file of ours."""
_FOREIGN = re.compile(r"(?:GLOBAL|global:?|class) ([\w.]+\.[\w.]+)")
"""How torch names what is no tensor, where it refuses a pickle."""
UNTRAINED = "mask_token"
"""Present in DINOv2's and transformers' files, absent from timm's, used by nobody here."""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of `read_checkpoint`."""
    return read_checkpoint(path)[0]


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a checkpoint file or folder, whatever its extension, and the settings that this project put
    beside them, {} for none.

    Names are as found, but for what training programs put around (see `wrappers`). Raises BadCheckpoint for a missing
    file, a pickle that holds more than tensors, several sets of weights, or anything that is no checkpoint.
    """
    path = _weights_file(Path(path))
    content = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    try:
        state = state_dict_in(content)
        strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
        named = without_wrappers(state)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path} {error}") from error
    if not named:
        raise BadCheckpoint(f"{path} holds no state dict; give {ACCEPTED}")
    if strange:
        raise BadCheckpoint(f"{path}: entry {strange[0]!r} is no tensor; give {ACCEPTED}")
    settings = content.get(SETTINGS)
    return named, settings if isinstance(settings, dict) else {}


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        if not path.is_file():
            raise BadCheckpoint(f"{path} does not exist; give {ACCEPTED}")
        return path
    for name in GENERIC:
        if (path / name).is_file():
            return path / name
    if any(path.glob("*.index.json")):
        raise BadCheckpoint(
            f"{path} holds its weights in several files; save them as one: save_pretrained(..., max_shard_size='100GB')"
        )
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
        held = _FOREIGN.search(str(error))
        what = f"it holds {held[1]}, which may run code: save the state dict alone" if held else "it is damaged"
        raise BadCheckpoint(f"{path} is refused: {what}; give {ACCEPTED}") from error
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


def config_file(path: str | Path) -> Path:
    """Return where the config.json of the model in `path` is, if it has one: in the folder, or beside its weights."""
    path = Path(path)
    return (path.parent if path.name in GENERIC and path.is_file() else path) / "config.json"


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return `blocks` and `position_embedding` as the config.json of the folder `path` tells them; {} for a file.

    A folder of this project names both, and its `version`; another transformers folder names its blocks, and its
    position embedding is "exact", as transformers computes it. Raises BadCheckpoint for a model of another kind.
    """
    described = config_file(path)
    if not described.is_file():
        return {}
    try:
        config = files.read_json(described)
        if config["model_type"] != "depth_anything" or config.get("depth_estimation_type") == "metric":
            raise BadCheckpoint(f"{described} describes no Depth Anything model for relative depth")
        return common_settings(config)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise BadCheckpoint(f"{described} is no configuration of Depth Anything ({error!r})") from error


def common_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a transformers configuration of Depth Anything says, relative or metric."""
    return {
        "blocks": _blocks(config["backbone_config"]),
        "position_embedding": config.get("position_embedding", "exact"),
        **({"version": config["version"]} if "version" in config else {}),
    }


def _blocks(backbone: dict[str, Any]) -> list[int]:
    """Return the blocks (0-based) that `out_indices`, counted from either end, or `out_features` ("stage12") name."""
    if "out_indices" not in backbone or backbone["out_indices"] is None:
        stages = {f"stage{block + 1}": block for block in range(backbone["num_hidden_layers"])}
        return [stages[name] for name in backbone["out_features"]]
    return [index - 1 if index > 0 else index + backbone["num_hidden_layers"] for index in backbone["out_indices"]]


def load_strictly(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Copy `state` into `module`; names and shapes must agree, only the unused mask token may be missing, and every
    number must be finite.

    Raises BadCheckpoint with the first difference; `what` says in the message what was to be loaded.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith(UNTRAINED)]
    unknown = [name for name in state if name not in expected]
    shapes = [name for name in state if name in expected and state[name].shape != expected[name].shape]
    real = [name for name, value in expected.items() if name in state and value.is_floating_point()]
    coded = [name for name in real if not state[name].is_floating_point()]
    broken = [name for name in real if not state[name].float().isfinite().all()]
    kind, training = "is it a model of this size?", "the training diverged, or half precision was too little"
    faults = (
        *((missing, "is missing", kind), (unknown, "is unknown", kind), (shapes, "has another shape", kind)),
        *((coded, "is quantized", kind), (broken, "is not finite", training)),
    )
    for names, complaint, reason in faults:
        if names:
            others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise BadCheckpoint(f"{what}: tensor {names[0]} {complaint}{others}; {reason}")
    module.load_state_dict(state, strict=False)


def write_folder(folder: Path, state: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write a folder that transformers' DepthAnythingForDepthEstimation and its pipeline load as it is.

    `state` has the official names; `settings` are size, blocks, position_embedding and version of the model, and of a
    metric one `maximum` (meters), `domain` and `input_size`. The same input gives the same bytes; each file appears
    whole or not at all.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in transformers_names(state).items()}
    files.write_bytes(folder / "model.safetensors", safetensors_bytes(tensors, metadata={"format": "pt"}))
    files.write_json(folder / "preprocessor_config.json", _preprocessor(VARIANTS[settings["size"]].patch))
    files.write_json(folder / "config.json", _configuration(settings))


def _configuration(settings: dict[str, Any]) -> dict[str, Any]:
    row, maximum = VARIANTS[settings["size"]], settings.get("maximum", 1)
    backbone = {
        "model_type": "dinov2",
        "hidden_size": row.width,
        "num_hidden_layers": row.depth,
        "num_attention_heads": row.heads,
        "mlp_ratio": 4,
        "image_size": 518,
        "patch_size": row.patch,
        "out_indices": [block + 1 for block in settings["blocks"]],
        "apply_layernorm": True,
        "reshape_hidden_states": False,
    }
    if row.swiglu:
        backbone |= {"use_swiglu_ffn": True}
    if row.registers:
        backbone |= {"model_type": "dinov2_with_registers", "num_register_tokens": row.registers}
    if row.rotary:
        # Of a type that transformers refuses: its own DINOv3 has other names, and would start from random weights.
        backbone |= {"model_type": "open_depth_anything_dinov3", "image_size": 512}
    return {
        "architectures": ["DepthAnythingForDepthEstimation"],
        "model_type": "depth_anything",
        "dtype": "float32",
        "backbone_config": backbone,
        "patch_size": row.patch,
        "reassemble_hidden_size": row.width,
        "reassemble_factors": [4, 2, 1, 0.5],
        "neck_hidden_sizes": list(row.out_channels),
        "fusion_hidden_size": row.features,
        "head_in_index": -1,
        "head_hidden_size": 32,
        "depth_estimation_type": "metric" if "maximum" in settings else "relative",
        "max_depth": int(maximum) if maximum == int(maximum) else maximum,  # transformers wants whole meters
        "size": settings["size"],
        "position_embedding": settings["position_embedding"],
        "version": settings["version"],
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
"""Resizing and normalization of docs/paper.md 8.3 in transformers' words, but for sizes."""
