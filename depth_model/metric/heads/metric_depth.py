"""Metric depth: Depth Anything with a head that answers in metres (paper 4.3; docs/paper.md 5 and 10).

Two heads: "bins" of the paper and its released fine-tuning, "sigmoid" of the second Depth Anything. The encoder and
decoder are those of the relative model, which says what they start from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from depth_model import files
from depth_model.encoders.any_encoder import encoder_settings
from depth_model.encoders.midas import MidasEncoder
from depth_model.metric.heads.bins import RELEASED_STRENGTH, STRENGTH, MetricBins
from depth_model.metric.heads.checkpoints import (
    MIDAS_TYPE,
    MODEL_TYPE,
    metric_settings,
    our_metric_names,
    released_metric_names,
    write_metric_folder,
)
from depth_model.networks import checkpoints
from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.depth_anything import DepthAnything, official_state, size_of
from depth_model.networks.dpt import CHANNELS, DPT, DecoderMaps
from depth_model.networks.encoder import Encoder, patch_grid

INPUT_SIZE = (392, 518)
"""Height and width to which the released models squash every image (docs/paper.md 5)."""
MINIMUM = 1e-3
"""Least depth in metres that training and evaluation know (docs/paper.md 4.2)."""


class SigmoidDepth(nn.Module):
    """The head of the second Depth Anything: the last ReLU gives way to a sigmoid times the `maximum` in metres."""

    def __init__(self, maximum: float) -> None:
        super().__init__()
        self.maximum = maximum

    def forward(self, maps: DecoderMaps) -> Tensor:
        """Return depth (B, H, W) float32 in metres, in (0, maximum)."""
        return self.maximum * maps.output.sigmoid()


class MidasDepth(NamedTuple):
    """MiDaS's encoder and a decoder of ours, in place of the `DepthAnything` that `MetricDepth` is made around."""

    encoder: MidasEncoder
    decoder: DPT
    blocks: list[int]


def midas_depth(encoder: MidasEncoder, seed: int = 0) -> MidasDepth:
    """Return `encoder` with a random decoder drawn from `seed` as `DepthAnything` draws it, on the last four blocks."""
    decoder = DPT(encoder.dimension, *CHANNELS[encoder.size], seed=seed)
    return MidasDepth(encoder, decoder, list(range(encoder.depth - 4, encoder.depth)))


class MetricDepth(nn.Module):
    """Normalised images in, planar depth in metres out.

    `relative` brings encoder and decoder, which become part of this model: `DepthAnything(size, weights)` for the
    paper's start (encoder only, random decoder), `DepthAnything.load(path)` for the released code's (the decoder
    too), `midas_depth(encoder)` for MiDaS's encoder. `head` is "bins" or "sigmoid", `maximum` the range in metres that
    the model is for (10 indoors, 80 outdoors; the sigmoid cannot exceed it), `domain` what it was made for, in a word,
    `input_size` (height, width) to what images are squashed for it. `strength` is the alpha of the attractors, `seed`
    draws the head. Raises ValueError for an unknown head or a maximum that is not positive.
    """

    def __init__(
        self,
        relative: DepthAnything | MidasDepth,
        head: Literal["bins", "sigmoid"],
        maximum: float,
        domain: str = "",
        input_size: Sequence[int] = INPUT_SIZE,
        strength: float = STRENGTH,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if head not in ("bins", "sigmoid"):
            raise ValueError(f"head={head!r}: choose bins or sigmoid")
        if not maximum > MINIMUM:
            raise ValueError(f"maximum={maximum}: give the largest depth in metres")
        self.encoder, self.decoder, self.blocks = relative.encoder, relative.decoder, relative.blocks
        self.maximum, self.domain, self.input_size = float(maximum), domain, (input_size[0], input_size[1])
        features = CHANNELS[self.encoder.size][0]
        self.head = MetricBins(features, strength, seed) if head == "bins" else SigmoidDepth(self.maximum)

    def forward(self, images: Tensor) -> Tensor:
        """Return depth (B, H, W) float32 in metres, > 0, of `images` (B, 3, H, W), normalised as for `DepthAnything`.

        Raises ValueError for sides that are no multiples of the patch.
        """
        return self.head(self.decoder.maps(self.encoder(images, self.blocks), *patch_grid(images, self.encoder.patch)))

    @classmethod
    def load(cls, path: str | Path, maximum: float | None = None) -> MetricDepth:
        """Load a folder written by `save`, transformers' metric DepthAnything, or a released metric `.pt`.

        Recognised by content, never by pickle. A bare file does not say its range: `maximum` does (released: 10 for
        indoor, 80 for outdoor); with metric bins its attractors have the strength they were trained with,
        `RELEASED_STRENGTH`. A bare file without bins is taken for one of the second Depth Anything. Raises
        BadCheckpoint, and UserError for MiDaS's encoder.
        """
        settings, state = metric_settings(path), checkpoints.read_tensors(path)
        if "midas" not in settings:
            state = our_metric_names(state, str(path))
        bins = any(name.startswith("head.") for name in state)
        maximum = settings.pop("maximum", None) if maximum is None else maximum
        if maximum is None:
            raise BadCheckpoint(f"{path} does not say the largest depth it is for: give it in metres")
        strength = settings.pop("strength", RELEASED_STRENGTH)
        domain, input_size = settings.pop("domain", ""), settings.pop("input_size", INPUT_SIZE)
        relative = _random_start(size_of(state, str(path)), settings, str(path))
        model = cls(relative, "bins" if bins else "sigmoid", maximum, domain, input_size, strength)
        checkpoints.load_strictly(model, state, str(path))
        return model

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors to `folder`; equal models give equal bytes.

        With the sigmoid head, transformers' DepthAnythingForDepthEstimation loads the folder as it is; metric bins
        on a DINOv2 encoder have no counterpart there, so that the tensors have the released names. With MiDaS's
        encoder they have those of this module.
        """
        settings, state = self._settings(), self.state_dict()
        if isinstance(self.encoder, MidasEncoder):
            write_metric_folder(Path(folder), state, MIDAS_TYPE, settings)
        elif isinstance(self.head, SigmoidDepth):
            checkpoints.write_folder(Path(folder), official_state(state), settings)
        else:
            write_metric_folder(Path(folder), released_metric_names(state), MODEL_TYPE, settings)

    def export_released(self, path: str | Path) -> None:
        """Write metric bins in the layout of `depth_anything_metric_depth_*.pt` (docs/paper.md 5), atomically.

        Raises ValueError for the other head and for MiDaS's encoder, which no such file has.
        """
        if not isinstance(self.head, MetricBins):
            raise ValueError("the released metric layout is that of metric bins; this model has a sigmoid")
        if isinstance(self.encoder, MidasEncoder):
            raise ValueError("the released metric layout is that of Depth Anything; this model has MiDaS's encoder")
        with files.atomic_path(Path(path)) as temporary:
            content = {"model": released_metric_names(self.state_dict()), "optimizer": None, "epoch": 0}
            torch.save(content, temporary)

    def _settings(self) -> dict[str, object]:
        features, out_channels = CHANNELS[self.encoder.size]
        settings = {
            **encoder_settings(self.encoder),
            "blocks": self.blocks,
            "features": features,
            "out_channels": out_channels,
            "maximum": self.maximum,
            "domain": self.domain,
            "input_size": list(self.input_size),
        }
        if isinstance(self.encoder, Encoder):
            settings |= {"patch": self.encoder.patch, "heads": self.encoder.blocks[0].attn.num_heads}
        return settings | ({"strength": self.head.strength} if isinstance(self.head, MetricBins) else {})


def _random_start(size: str, settings: dict[str, Any], path: str) -> DepthAnything | MidasDepth:
    """Return the encoder and decoder that `settings`, of config.json in `path`, tell of."""
    if "midas" not in settings:
        return DepthAnything(size, **settings)
    try:
        return midas_depth(MidasEncoder(size, settings["midas"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(f"{path}/config.json describes no encoder of MiDaS ({error!r})") from error

