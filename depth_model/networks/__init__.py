"""Network definitions and their checkpoints, each imported when it is first asked for.

`variants`, which params.yaml is checked against, is free of torch, and so must be the way to it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "BadCheckpoint": "checkpoint_names",
    "DepthAnything": "depth_anything",
    "Encoder": "encoder",
    "build_encoder": "encoder",
    "frozen_encoder": "encoder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
