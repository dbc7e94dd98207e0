"""Checkpoints of metric models: names in the released layouts, and the configuration beside them.

The released `depth_anything_metric_depth_{indoor,outdoor}.pt` hold ZoeDepth's names around an official relative model
(docs/paper.md 5); those of the second Depth Anything and transformers' metric folders have the names of relative
ones. Inside the project: `encoder.*`, `decoder.*` and, with metric bins, `head.*`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from depth_model import files
from depth_model.errors import named
from depth_model.metric.heads.bins import BINS
from depth_model.networks import checkpoints
from depth_model.networks.checkpoint_names import BadCheckpoint, official_names
from depth_model.networks.depth_anything import our_state
from depth_model.networks.releases import release_of

MODEL_TYPE = "depth_anything_metric_bins"
"""`model_type` in the config.json of a model with metric bins."""
MIDAS_TYPE = "open_depth_anything_metric_midas"
"""The same of a model with MiDaS's encoder, whatever its head: its tensors have this project's names."""

RELEASED = "core.core."
"""What names in the released layout of metric bins begin with; only the code of the first Depth Anything writes it."""

_PARTS = (("core.core.pretrained.", "encoder."), ("core.core.depth_head.", "decoder."))
_BUFFERS = "conditional_log_binomial.log_binomial_transform."
_BARE = re.compile(r"^(seed_bin_regressor|seed_projector|(?:projectors|attractors)\.\d+)\.(\d)")
_NETTED = re.compile(r"^(seed_bin_regressor|seed_projector|(?:projectors|attractors)\.\d+)\._net\.(\d)")


def metric_settings(path: str | Path) -> dict[str, Any]:
    """Return what the config.json of the folder `path` says: blocks, position_embedding, maximum, and where it stands,
    version, strength, domain and input_size; {} for a file. Raises BadCheckpoint for that of another model."""
    config_file = checkpoints.config_file(path)
    if not config_file.is_file():
        return {}
    try:
        config = files.read_json(config_file)
        optional = {name: config[name] for name in ("strength", "version") if name in config}
        if config["model_type"] == MODEL_TYPE:
            names = ("blocks", "position_embedding", "maximum", "strength", "domain", "input_size")
            return {name: config[name] for name in names} | optional
        if config["model_type"] == MIDAS_TYPE:
            names = ("size", "midas", "blocks", "maximum", "domain", "input_size")
            return {name: config[name] for name in names} | optional
        if config["model_type"] != "depth_anything" or config["depth_estimation_type"] != "metric":
            raise BadCheckpoint(f"{config_file} describes no model of metric depth")
        return {
            **checkpoints.common_settings(config),
            "maximum": config["max_depth"],
            "domain": config.get("domain", ""),
            **({"input_size": config["input_size"]} if "input_size" in config else {}),
        }
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise BadCheckpoint(f"{config_file} is no configuration of a metric model ({error!r})") from error


def is_metric(path: str | Path, maximum: float | None = None) -> bool:
    """Whether `path` is a metric model, by its config.json, its tensors or its name.

    A bare file of which nothing tells is one if a range, `maximum`, is given for it. Raises BadCheckpoint for a file
    that is no checkpoint.
    """
    if checkpoints.config_file(path).is_file():
        try:
            return bool(metric_settings(path))
        except BadCheckpoint:
            return False
    if any(name.startswith(RELEASED) for name in checkpoints.read_tensors(path)):
        return True
    release = release_of(path)
    return maximum is not None if release is None else release.metric


def our_metric_names(tensors: dict[str, Tensor], path: str) -> dict[str, Tensor]:
    """Translate any known layout of a metric model to the project's names. Raises BadCheckpoint, naming `path`."""
    if any(name.startswith(RELEASED) for name in tensors):
        wanted = ((name, value) for name, value in tensors.items() if not name.startswith(_BUFFERS))
        return {_our_name(name): value for name, value in wanted}
    with named(path):
        official = official_names(tensors)
    return our_state(official)


def released_metric_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the state dict of a model with metric bins to the released names, with their two constant buffers."""
    released = {_released_name(name): value.detach().cpu().contiguous() for name, value in state.items()}
    released[f"{_BUFFERS}k_idx"] = torch.arange(BINS).view(1, -1, 1, 1)
    released[f"{_BUFFERS}K_minus_1"] = torch.tensor([float(BINS - 1)]).view(1, -1, 1, 1)
    return released


def write_metric_folder(folder: Path, state: dict[str, Tensor], model_type: str, settings: dict[str, Any]) -> None:
    """Write config.json and model.safetensors of a metric model; each appears whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    files.write_bytes(folder / "model.safetensors", safetensors_bytes(tensors, metadata={"format": "pt"}))
    files.write_json(folder / "config.json", {"model_type": model_type, **settings})


def _our_name(name: str) -> str:
    for released, ours in _PARTS:
        if name.startswith(released):
            return name.replace(released, ours, 1)
    name = name.replace("conditional_log_binomial.mlp.", "conditional_log_binomial.", 1)
    return "head." + _NETTED.sub(r"\1.\2", name)


def _released_name(name: str) -> str:
    for released, ours in _PARTS:
        if name.startswith(ours):
            return name.replace(ours, released, 1)
    name = name.removeprefix("head.")
    name = name.replace("conditional_log_binomial.", "conditional_log_binomial.mlp.", 1)
    return _BARE.sub(r"\1._net.\2", name)
