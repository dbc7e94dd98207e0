"""The encoders that fine-tuning may start from: DINOv2's and, to compare them, MiDaS's (Tables 10 and 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depth_model.encoders.midas import MidasEncoder, is_midas, read_midas
from depth_model.encoders.own_decoder import OwnEncoder, OwnPyramid, is_whole, random_whole
from depth_model.networks.encoder import Encoder, build_encoder

AnyEncoder = Encoder | MidasEncoder | OwnPyramid


def any_encoder(size: str, weights: str, seed: int = 0) -> AnyEncoder:
    """Return the encoder with `weights`: a folder of MiDaS, or anything that `build_encoder` takes.

    `size` is that of the decoder, and of every encoder but MiDaS's. Raises what `build_encoder` and `read_midas` raise.
    """
    return read_midas(weights, size) if is_midas(weights) else build_encoder(size, weights, seed)


def encoder_settings(encoder: AnyEncoder | OwnEncoder) -> dict[str, Any]:
    """Return what config.json of a model says of its encoder, so that `encoder_of` builds one like it."""
    if isinstance(encoder, MidasEncoder | OwnEncoder | OwnPyramid):
        return {"size": encoder.size, "midas": encoder.shape}
    return {"size": encoder.size, "position_embedding": encoder.position_embedding}


def encoder_of(settings: Mapping[str, Any]) -> AnyEncoder:
    """Return a random encoder as `settings`, of `encoder_settings`, describe it.

    Raises KeyError, TypeError or ValueError for settings that are none, and UserError.
    """
    if "midas" in settings:
        size, shape = settings["size"], settings["midas"]
        return OwnPyramid(size, random_whole(shape)) if is_whole(shape) else MidasEncoder(size, shape)
    return Encoder(settings["size"], position_embedding=settings["position_embedding"])
