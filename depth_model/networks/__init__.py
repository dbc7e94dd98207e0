"""Network definitions and their checkpoints."""

from __future__ import annotations

from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.depth_anything import DepthAnything
from depth_model.networks.encoder import BadWeights, Encoder, build_encoder, frozen_encoder
from depth_model.networks.packaged_encoder import PackagedEncoderMissing
from depth_model.networks.transformers_library import TransformersMissing

__all__ = [
    "BadCheckpoint",
    "BadWeights",
    "DepthAnything",
    "Encoder",
    "PackagedEncoderMissing",
    "TransformersMissing",
    "build_encoder",
    "frozen_encoder",
]
