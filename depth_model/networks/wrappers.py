"""What training programs put around a state dict: taken off where it is plain what was meant, refused where not.

Works on what has been read, by names alone; files are read in `checkpoints`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from depth_model.networks.checkpoint_names import BadCheckpoint

CONTAINERS = (
    *("state_dict", "model_state_dict", "model", "module", "network", "net", "weights"),
    *("ema", "ema_model", "model_ema", "ema_state_dict", "state_dict_ema"),
)
"""Keys under which a checkpoint keeps a state dict beside optimizer, epoch and the like."""
SILENT = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of a name that DDP, torch.compile, FSDP and checkpointing add, at the front or inside, once or more."""
OUTER = {"model", "network", "net", "ema", "ema_model", "model_ema"}
"""Attributes under which other programs' modules keep the network."""
COUNTERS = {"n_averaged", "num_updates", "decay"}
"""Scalars that averaged models keep beside their weights."""


def state_dict_in(content: Any) -> dict[str, Any]:
    """Return the innermost state dict in `content`, {} for none; its values may still be no tensors.

    Raises BadCheckpoint for several sets of weights that differ, and names them.
    """
    while isinstance(content, dict):
        found = {key: content[key] for key in CONTAINERS if isinstance(content.get(key), dict) and content[key]}
        if not found:
            return content
        sets = [without_wrappers(state_dict_in(one)) for one in found.values()]
        if any(not _same(sets[0], one) for one in sets[1:]):
            raise BadCheckpoint(f"holds several sets of weights ({', '.join(found)}); save the one you mean by itself")
        content = next(iter(found.values()))
    return {}


def without_wrappers(state: dict[str, Any]) -> dict[str, Any]:
    """Return `state` under the names that the network itself gives its tensors.

    Raises BadCheckpoint where several networks stand side by side.
    """
    named: dict[str, Any] = {}
    for name, value in state.items():
        parts = [part for part in name.split(".") if part not in SILENT] or [name]
        if parts[-1] in COUNTERS and isinstance(value, Tensor) and not value.ndim:
            continue
        short = ".".join(parts)
        if short in named:
            raise BadCheckpoint(f"holds tensor {short!r} twice, under different prefixes; save one network by itself")
        named[short] = value
    while named and (outer := {name.partition(".")[0] for name in named}) <= OUTER:
        if len(outer) > 1:
            raise BadCheckpoint(f"holds several networks ({', '.join(sorted(outer))}); save one by itself")
        named = {name.partition(".")[2]: value for name, value in named.items()}
    return named


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    pairs = ((value, other[name]) for name, value in one.items())
    return all(isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b) for a, b in pairs)
