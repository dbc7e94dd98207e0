"""Metric depth: Depth Anything with a head that answers in meters (paper 4.3; docs/paper.md 5 and 10).

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
from depth_model.encoders.own_decoder import OwnDecoder, OwnEncoder, is_whole, random_whole
from depth_model.metric.heads.bins import STRENGTH, MetricBins
from depth_model.metric.heads.checkpoints import (
    MIDAS_TYPE,
    MODEL_TYPE,
    is_metric,
    metric_settings,
    our_metric_names,
    released_metric_names,
    write_metric_folder,
)
from depth_model.networks import checkpoints
from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.depth_anything import DepthAnything, official_state, size_of
from depth_model.networks.dpt import DPT, DecoderMaps
from depth_model.networks.encoder import patch_grid
from depth_model.networks.releases import known_version, release_of
from depth_model.networks.variants import VARIANTS, Version

INPUT_SIZE = (392, 518)
"""Height and width to which the released models squash every image (docs/paper.md 5)."""
SHORT_SIDE = 518
"""To which the second Depth Anything brings the shorter side, for metric depth too (docs/paper.md 8.1)."""
MINIMUM = 1e-3
"""Least depth in meters that training and evaluation know (docs/paper.md 4.2)."""


class SigmoidDepth(nn.Module):
    """The head of the second Depth Anything: the last ReLU gives way to a sigmoid times the `maximum` in meters."""

    def __init__(self, maximum: float) -> None:
        super().__init__()
        self.maximum = maximum

    def forward(self, maps: DecoderMaps) -> Tensor:
        """Return depth (B, H, W) float32 in meters, in (0, maximum)."""
        return self.maximum * maps.output.sigmoid()


class MidasDepth(NamedTuple):
    """MiDaS's encoder with a decoder of ours or its own, in place of the `DepthAnything` of `MetricDepth`."""

    encoder: MidasEncoder | OwnEncoder
    decoder: DPT | OwnDecoder
    blocks: list[int]
    version: Version = "v1"


def midas_depth(encoder: MidasEncoder, seed: int = 0) -> MidasDepth:
    """Return `encoder` with a random decoder drawn from `seed` as `DepthAnything` draws it, on the last four blocks."""
    decoder = DPT(VARIANTS[encoder.size], seed, encoder.dimension)
    return MidasDepth(encoder, decoder, list(range(encoder.depth - 4, encoder.depth)))


def own_depth(size: str, whole: Any) -> MidasDepth:
    """Return encoder and decoder of `whole`, as `read_whole` gives it, which says itself which blocks are read."""
    return MidasDepth(OwnEncoder(size, whole), OwnDecoder(whole), [])


class MetricDepth(nn.Module):
    """Normalized images in, planar depth in meters out.

    `relative` brings encoder and decoder, which become part of this model: `DepthAnything(size, weights)` for the
    paper's start (encoder only, random decoder), `DepthAnything.load(path)` for the released code's (the decoder
    too), `midas_depth(encoder)` for MiDaS's encoder, `own_depth(size, whole)` for that with its own decoder. `head` is
    "bins" or "sigmoid", `maximum` the range in meters that the model is for (10 indoors, 80 outdoors; the sigmoid
    cannot exceed it), `domain` what it was made for, in a word, `input_size` (height, width) to what images are
    squashed for it, or the shorter side of images that keep their aspect ratio. `strength` is the alpha of the
    attractors, `seed` draws the head. Raises ValueError for an unknown head or a maximum that is not positive.
    """

    def __init__(
        self,
        relative: DepthAnything | MidasDepth,
        head: Literal["bins", "sigmoid"],
        maximum: float,
        domain: str = "",
        input_size: Sequence[int] | int = INPUT_SIZE,
        strength: float = STRENGTH,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if head not in ("bins", "sigmoid"):
            raise ValueError(f"head={head!r}: choose bins or sigmoid")
        if not maximum > MINIMUM:
            raise ValueError(f"maximum={maximum}: give the largest depth in meters")
        self.encoder, self.decoder, self.blocks = relative.encoder, relative.decoder, relative.blocks
        self.maximum, self.domain, self.version = float(maximum), domain, relative.version
        self.input_size = input_size if isinstance(input_size, int) else (input_size[0], input_size[1])
        self.head = MetricBins(self.decoder.features, strength, seed) if head == "bins" else SigmoidDepth(self.maximum)

    def forward(self, images: Tensor) -> Tensor:
        """Return depth (B, H, W) float32 in meters, > 0, of `images` (B, 3, H, W), normalized as for `DepthAnything`.

        Raises ValueError for sides that are no multiples of the patch.
        """
        return self.of_tokens(self.encoder(images, self.blocks), *patch_grid(images, self.encoder.patch))

    def of_tokens(self, tokens: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        """Return what `forward` does of the tokens (B, rows * columns, D) of the four `blocks`."""
        return self.head(self.decoder.maps(tokens, rows, columns))

    @classmethod
    def load(cls, path: str | Path, maximum: float | None = None, version: Version | None = None) -> MetricDepth:
        """Load a folder written by `save`, transformers' metric DepthAnything, or a released metric file.

        Recognized by content. What a bare file does not hold its released name says, or else `maximum`, the range in
        meters, and `version`: of a file without bins nothing else does, while bins in the released layout are of the
        first Depth Anything. A file from `export_released` holds all of it. Without bins, and without a size of its
        own, the input keeps its aspect ratio, as the second version's. Raises BadCheckpoint, and UserError
        for MiDaS's encoder.
        """
        tensors, inside = checkpoints.read_checkpoint(path)
        settings = metric_settings(path) or inside
        state = tensors if "midas" in settings else our_metric_names(tensors, str(path))
        bins, release = any(name.startswith("head.") for name in state), release_of(path)
        if not settings and version is None and release is not None and release.maximum:
            _check_head(path, release.version, bins)
        if not settings and release is not None and release.metric:
            settings = {"maximum": release.maximum, "domain": release.domain}
        if not settings and release is not None and not bins:
            raise BadCheckpoint(f"{path} is a model of relative depth by its name")
        maximum = settings.pop("maximum", None) if maximum is None else maximum
        settings.pop("maximum", None)
        if maximum is None:
            raise BadCheckpoint(f"{path} does not say the largest depth it is for: give it in meters")
        strength, domain = settings.pop("strength", STRENGTH), settings.pop("domain", "")
        input_size = settings.pop("input_size", INPUT_SIZE if bins else SHORT_SIDE)
        size = settings.pop("size", None) or size_of(state, str(path))
        if "midas" not in settings:
            stated = settings.get("version") or _told_by_blocks(size, settings)
            asked = version or ("v1" if bins and not stated and not release else None)
            settings["version"] = known_version(path, size, asked, stated, None)
        relative = _random_start(size, settings, str(path))
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
        if isinstance(self.encoder, MidasEncoder | OwnEncoder):
            write_metric_folder(Path(folder), state, MIDAS_TYPE, settings)
        elif isinstance(self.head, SigmoidDepth):
            checkpoints.write_folder(Path(folder), official_state(state), settings)
        else:
            write_metric_folder(Path(folder), released_metric_names(state), MODEL_TYPE, settings)

    def export_released(self, path: str | Path) -> None:
        """Write metric bins in the layout of `depth_anything_metric_depth_*.pt` (docs/paper.md 5), atomically.

        What has no place there, such as range and strength, stands beside the weights, where `load` finds it. Raises
        ValueError for the other head and for MiDaS's encoder, which no such file has.
        """
        if not isinstance(self.head, MetricBins):
            raise ValueError("the released metric layout is that of metric bins; this model has a sigmoid")
        if isinstance(self.encoder, MidasEncoder | OwnEncoder):
            raise ValueError("the released metric layout is that of Depth Anything; this model has MiDaS's encoder")
        with files.atomic_path(Path(path)) as temporary:
            content = {"model": released_metric_names(self.state_dict()), "optimizer": None, "epoch": 0}
            content[checkpoints.SETTINGS] = {name: one for name, one in self._settings().items() if name != "size"}
            torch.save(content, temporary)

    def _settings(self) -> dict[str, object]:
        settings = {
            **encoder_settings(self.encoder),
            "blocks": self.blocks,
            "maximum": self.maximum,
            "domain": self.domain,
            "version": self.version,
            "input_size": self.input_size if isinstance(self.input_size, int) else list(self.input_size),
        }
        return settings | ({"strength": self.head.strength} if isinstance(self.head, MetricBins) else {})


def load_depth(
    path: str | Path,
    version: Version | None = None,
    maximum: float | None = None,
    blocks: Sequence[int] | None = None,
    position_embedding: str | None = None,
) -> DepthAnything | MetricDepth:
    """Load a model of either kind, as its content, its name or a `maximum` for it says (see `is_metric`).

    `blocks` and `position_embedding` are for relative ones. Raises what the `load` of the two raises, and BadCheckpoint
    for what is said of a model of the other kind.
    """
    if not is_metric(path, maximum):
        if maximum is not None:
            raise BadCheckpoint(f"{path} is a model of relative depth, which has no largest depth (--maximum)")
        return DepthAnything.load(path, version, blocks, position_embedding)
    if blocks is not None or position_embedding is not None:
        raise BadCheckpoint(f"{path} is a metric model, whose blocks and position embedding follow from its version")
    return MetricDepth.load(path, maximum, version)


def _check_head(path: str | Path, version: Version, bins: bool) -> None:
    """Raise BadCheckpoint where a released name of `version` stands on a file with the head of the other one."""
    if bins != (version == "v1"):
        kind = "metric bins, as the first Depth Anything" if bins else "no metric bins, unlike the first Depth Anything"
        raise BadCheckpoint(
            f"{path} has a released name of {version}, but {kind}: say which it is (--version, and of a metric file "
            "--maximum), or give it another name"
        )


def _told_by_blocks(size: str, settings: dict[str, Any]) -> Version | None:
    return VARIANTS[size].version_of(settings["blocks"]) if "blocks" in settings else None


def _random_start(size: str, settings: dict[str, Any], path: str) -> DepthAnything | MidasDepth:
    """Return the encoder and decoder that `settings`, of config.json in `path`, tell of."""
    if "midas" not in settings:
        return DepthAnything(size, **settings)
    try:
        shape = settings["midas"]
        return own_depth(size, random_whole(shape)) if is_whole(shape) else midas_depth(MidasEncoder(size, shape))
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(f"{path}/config.json describes no encoder of MiDaS ({error!r})") from error
