"""Semantic segmentation from the depth encoder (paper 4.4): linear, as a cheap probe, or Mask2Former as in the paper.

Released segmentation checkpoints are MMSegmentation's, with names and layers of that library; they are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn
from torch.nn import functional

from depth_model import files
from depth_model.encoders.any_encoder import AnyEncoder, encoder_of, encoder_settings
from depth_model.encoders.own_decoder import OwnPyramid
from depth_model.networks import checkpoints
from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.encoder import patch_grid
from depth_model.semantic.classes import ClassList
from depth_model.semantic.heads.mask2former import Mask2FormerHead, QueryOutput, query_scores
from depth_model.semantic.heads.settings import Mask2FormerSettings

MODEL_TYPE = "open_depth_anything_segmentation"
MAPS = 4
"""Blocks whose tokens a head reads: the last four."""


class LinearHead(nn.Module):
    """One linear map from the tokens of the last four blocks, side by side, to class logits; `seed` draws it."""

    def __init__(self, channels: int, classes: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.classifier = nn.Conv2d(MAPS * channels, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return logits (B, C, h, w) of four maps (B, D, h, w), of which others than the first may be smaller."""
        size = maps[0].shape[2:]
        alike = [one if one.shape[2:] == size else _enlarged(one, size) for one in maps]
        return self.classifier(torch.cat(alike, dim=1))


def _enlarged(values: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False)


class Segmentation(nn.Module):
    """Normalized images in, a score per class and pixel out.

    `encoder` becomes part of this model. `classes` are what it tells apart. `head` is "linear", or the sizes of a
    Mask2Former. `side` in pixels is what it is trained at: the crop, and the shorter side that a picture is
    scaled to by default. `seed` draws the head. Parameters are named `encoder.*` (DINOv2's names, or those of
    `MidasEncoder`) and `head.*`. Raises UserError for a Mask2Former without the library.
    """

    def __init__(
        self, encoder: AnyEncoder, classes: ClassList, head: str | Mask2FormerSettings, side: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.encoder, self.classes, self.side = encoder, classes, side
        if isinstance(head, Mask2FormerSettings):
            pyramid = isinstance(encoder, OwnPyramid)
            self.head: nn.Module = Mask2FormerHead(encoder.dimension, len(classes), head, seed, pyramid)
        elif head == "linear":
            self.head = LinearHead(encoder.dimension, len(classes), seed)
        else:
            raise ValueError(f"head={head!r}: give 'linear' or the sizes of a Mask2Former")

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (B, C, H, W) float32 of `images` (B, 3, H, W), normalized as for `DepthAnything`.

        Logits of a linear head, sums of probabilities (>= 0) of a Mask2Former: the largest names the class. Raises
        ValueError for sides that are no multiples of the patch.
        """
        return self.of_tokens(self.encoder(images, self.blocks), *patch_grid(images, self.encoder.patch))

    @property
    def blocks(self) -> range:
        """The encoder's blocks that the head reads."""
        return range(self.encoder.depth - MAPS, self.encoder.depth)

    def of_tokens(self, tokens: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        """Return what `forward` does of the tokens (B, rows * columns, D) of the `blocks`, or of a pyramid's maps."""
        output, size = self._said(tokens, rows, columns), (self.encoder.patch * rows, self.encoder.patch * columns)
        if isinstance(output, QueryOutput):
            return query_scores(output, size)
        return _enlarged(output.float(), size)

    def output(self, images: Tensor) -> Tensor | QueryOutput:
        """Return what the head says, which its loss takes: logits (B, C, h, w) per patch, or what queries say."""
        return self._said(self.encoder(images, self.blocks), *patch_grid(images, self.encoder.patch))

    def _said(self, tokens: Sequence[Tensor], rows: int, columns: int) -> Tensor | QueryOutput:
        if isinstance(self.encoder, OwnPyramid):
            return self.head(tokens)
        return self.head([one.transpose(1, 2).unflatten(2, (rows, columns)) for one in tokens])

    def save(self, folder: str | Path) -> None:
        """Write config.json (sizes, class names, palette) and model.safetensors; equal models give equal bytes."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        files.write_bytes(Path(folder) / "model.safetensors", safetensors_bytes(tensors, metadata={"format": "pt"}))
        files.write_json(Path(folder) / "config.json", self._settings())

    def _settings(self) -> dict[str, Any]:
        queries = isinstance(self.head, Mask2FormerHead)
        return {
            "model_type": MODEL_TYPE,
            **encoder_settings(self.encoder),
            "head": "mask2former" if queries else "linear",
            "side": self.side,
            "data_set": self.classes.name,
            "classes": list(self.classes.classes),
            "palette": [list(color) for color in self.classes.palette],
            **({"mask2former": asdict(self.head.settings)} if queries else {}),
        }

    @classmethod
    def load(cls, folder: str | Path) -> Segmentation:
        """Load a folder written by `save`; raises BadCheckpoint for anything else, and UserError."""
        settings = _read_settings(Path(folder))
        try:
            classes = ClassList(
                settings["data_set"], tuple(settings["classes"]), tuple(tuple(one) for one in settings["palette"])
            )
            queries = settings["head"] == "mask2former"
            head = Mask2FormerSettings(**settings["mask2former"]) if queries else settings["head"]
            model = cls(encoder_of(settings), classes, head, settings["side"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadCheckpoint(f"{folder}/config.json describes no segmentation model ({error!r})") from error
        checkpoints.load_strictly(model, checkpoints.read_tensors(folder), str(folder))
        return model


def is_segmentation(path: str | Path) -> bool:
    """Whether `path` is a folder of a segmentation model, by its config.json."""
    try:
        _read_settings(Path(path))
    except BadCheckpoint:
        return False
    return True


def _read_settings(folder: Path) -> dict[str, Any]:
    try:
        settings = files.read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{folder} holds no readable config.json; give a folder of finetune_semantic") from error
    if not isinstance(settings, dict) or settings.get("model_type") != MODEL_TYPE:
        raise BadCheckpoint(f"{folder} holds no segmentation model of this project (MMSegmentation's are not read)")
    return settings
