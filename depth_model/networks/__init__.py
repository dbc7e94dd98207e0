"""Network definitions and their checkpoints."""

from __future__ import annotations

from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.depth_anything import DepthAnything
from depth_model.networks.encoder import Encoder, build_encoder, frozen_encoder

__all__ = [
    "BadCheckpoint",
    "DepthAnything",
    "Encoder",
    "build_encoder",
    "frozen_encoder",
]
