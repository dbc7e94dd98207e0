"""The one way to get depth for an image: pseudo labels, evaluation, registered models and users call it.

Pre-processing is that of the released model (docs/paper.md 8.3) unless asked otherwise: the shorter side goes to
`short_side`, the aspect ratio is kept, both sides become multiples of the patch, bicubic without antialiasing, ImageNet
normalization.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from depth_model.errors import BadInput
from depth_model.networks import DepthAnything
from depth_model.networks.device import fetched
from depth_model.networks.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_short_side,
    network_size,
    transformers_size,
)
from depth_model.prediction.precision import bfloat16_copy
from depth_model.prediction.tiling import tiled
from depth_model.shards.images import decode_rgb, upright_rgb

MEAN = np.array(IMAGENET_MEAN, np.float32)
STD = np.array(IMAGENET_STD, np.float32)

PRECISIONS = ("fp32", "bf16")

Picture = np.ndarray | torch.Tensor | Image.Image | bytes | str | Path


def network_image(image: np.ndarray, size: tuple[int, int], preprocessing: str = "official") -> np.ndarray:
    """Return `image` (H, W, 3) uint8 as the network takes it: float32 (3, h, w), normalized, at `size` (h, w)."""
    scaled = RESIZED[preprocessing](image, size).astype(np.float32, copy=False)
    return np.ascontiguousarray(((scaled - MEAN) / STD).transpose(2, 0, 1))


def _bicubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    scaled = image.astype(np.float32) / 255
    return scaled if image.shape[:2] == size else cv2.resize(scaled, size[::-1], interpolation=cv2.INTER_CUBIC)


def _bicubic_antialiased(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)) / np.float32(255)


SIZE = {"official": network_size, "transformers": transformers_size}
RESIZED = {"official": _bicubic, "transformers": _bicubic_antialiased}


def rgb(picture: Picture) -> np.ndarray:
    """Return `picture` as uint8 (H, W, 3): an array (gray, RGB or RGBA), a tensor, a PIL image, bytes or a path.

    Arrays are uint8 with channels last; tensors have channels first, as (1 or 3, H, W), uint8 or float in [0, 1].

    One picture gives the same pixels in every form: upright, 16 bits scaled to 8, transparency laid over white.
    Raises BadInput for what is no image, FileNotFoundError for a path that leads nowhere.
    """
    if isinstance(picture, (str, Path)):
        picture = Path(picture).read_bytes()
    if isinstance(picture, bytes):
        return decode_rgb(picture)
    if isinstance(picture, Image.Image):
        return np.array(upright_rgb(picture))
    if isinstance(picture, torch.Tensor):
        picture = _array(picture)
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or 0 in picture.shape:
        raise BadInput(f"an array of {picture.dtype} and shape {picture.shape} is no image: uint8 (H, W, 3) is")
    if picture.ndim == 2:
        return np.repeat(picture[:, :, None], 3, axis=2)
    if picture.shape[2] not in (3, 4):
        raise BadInput(f"an image has 1, 3 or 4 channels, not {picture.shape[2]}")
    return picture if picture.shape[2] == 3 else np.array(upright_rgb(Image.fromarray(picture)))


def _array(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor (C, H, W), uint8 or float in [0, 1], as an array uint8 (H, W, 3)."""
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise BadInput(f"a tensor of shape {tuple(tensor.shape)} is no image: (3, H, W) is")
    values = tensor.detach().cpu()
    if values.is_floating_point():
        if not bool(((values >= 0) & (values <= 1)).all()):  # False for NaN
            raise BadInput("a tensor of floats is an image in [0, 1], before any normalization; this one is not")
        values = (values.float() * 255).round().to(torch.uint8)
    return values.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()


class DepthPredictor:
    """Disparity of images of any size: `DepthPredictor(model)(image)`.

    `model` is used in evaluation mode on the device it is on. `short_side` in pixels is a multiple of its patch (paper:
    518, of 14); `batch` bounds how many images of one shape go through the network at once; `flip_averaging` takes the
    mean with the mirror image's map, mirrored (docs/paper.md 4.2), at twice the cost. `preprocessing` is "official" or
    "transformers", which resizes with antialiasing, small images to less (docs/paper.md 8.3): choose it to get what a
    transformers pipeline gives. `tile`: for images larger than so many pixels, add the detail of overlapping tiles of
    that side (see `tiling`); None takes every image whole. `precision` "bf16" computes with a copy of the model in
    bfloat16 (`bfloat16_copy`), faster where the hardware has it, at the accuracy in docs/measurements/speed.md.
    `compiled` is `model` as another runtime computes it (`OpenVinoModel`), in a precision of its own: then that is
    called in its place. Raises ValueError for a `short_side` that is no positive multiple of the patch, and for another
    `preprocessing` or `precision`.
    """

    def __init__(
        self,
        model: DepthAnything,
        short_side: int = 518,
        batch: int = 8,
        flip_averaging: bool = False,
        preprocessing: str = "official",
        tile: int | None = None,
        precision: str = "fp32",
        compiled: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.patch = model.encoder.patch
        check_short_side(short_side, self.patch)
        if precision not in PRECISIONS:
            raise ValueError(f"precision = {precision!r}: choose one of {', '.join(PRECISIONS)}")
        self.device = next(model.parameters()).device
        model.eval()
        self.model = compiled or (model if precision == "fp32" else bfloat16_copy(model))
        self.align_corners = model.version == "v2"
        self.short_side = short_side
        self.batch = batch
        self.flip_averaging = flip_averaging
        if preprocessing not in SIZE:
            raise ValueError(f"preprocessing = {preprocessing!r}: choose one of {', '.join(SIZE)}")
        self.preprocessing = preprocessing
        if tile is not None and tile < self.patch:
            raise ValueError(f"tile = {tile}: must be at least {self.patch} pixels")
        self.tile = tile

    @overload
    def __call__(self, images: Picture) -> np.ndarray: ...
    @overload
    def __call__(self, images: list[Picture]) -> list[np.ndarray]: ...
    def __call__(self, images: Picture | list[Picture]) -> np.ndarray | list[np.ndarray]:
        """Return float32 disparity (H, W) >= 0 at the size of the image, or a list of them for a list.

        Larger is closer; scale and shift are unknown. Raises what `rgb` raises.
        """
        if not isinstance(images, list):
            return self([images])[0]
        pictures = [rgb(image) for image in images]
        if self.tile is not None:
            return [tiled(self._whole, picture, self.tile) for picture in pictures]
        return self._whole(pictures)

    def _whole(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        maps = self.network_disparity(pictures)
        sizes = (picture.shape[:2] for picture in pictures)
        return [resized(disparity, size, self.align_corners) for disparity, size in zip(maps, sizes, strict=True)]

    def network_disparity(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return float32 disparity (h, w) at the network's resolution (see `network_size`) per uint8 (H, W, 3) image.

        Images of one network shape share a batch; the order of the result is that of `images`.
        """
        results: list[np.ndarray] = [np.empty(0)] * len(images)
        shown = [SIZE[self.preprocessing](*image.shape[:2], self.short_side, self.patch) for image in images]
        for size, indices in batches_by_size(shown, self.batch):
            inputs = np.stack([network_image(images[index], size, self.preprocessing) for index in indices])
            for index, disparity in zip(indices, self.batch_disparity(inputs), strict=True):
                results[index] = disparity
        return results

    def batch_disparity(self, inputs: np.ndarray) -> np.ndarray:
        """Return float32 disparity (B, h, w) of `inputs` (B, 3, h, w), each as `network_image` makes it."""
        return self.started(torch.from_numpy(inputs))()

    @torch.inference_mode()
    def started(self, inputs: torch.Tensor) -> Callable[[], np.ndarray]:
        """Start what `batch_disparity` does, on a GPU without waiting for it; return a function that gives the result.

        To copy while the GPU computes, `inputs` lie in pinned memory (`depth_model.networks.device.sent`).
        """
        images = inputs.to(self.device, non_blocking=True)
        disparity = self.model(images).float()
        if self.flip_averaging:
            disparity = (disparity + self.model(images.flip(-1)).float().flip(-1)) / 2
        return fetched(disparity)


def batches_by_size(sizes: Sequence[tuple[int, int]], most: int) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yield each of `sizes` with the indices where it stands, at most `most` of them at once."""
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, size in enumerate(sizes):
        buckets[size].append(index)
    for size, indices in buckets.items():
        for start in range(0, len(indices), most):
            yield size, indices[start : start + most]


def resized(disparity: np.ndarray, size: tuple[int, int], align_corners: bool = False) -> np.ndarray:
    """Return `disparity` (h, w) at `size` (H, W), bilinear; by default with pixel centers half a pixel in."""
    if disparity.shape == size:
        return disparity
    maps = torch.from_numpy(disparity)[None, None]
    return functional.interpolate(maps, size, mode="bilinear", align_corners=align_corners)[0, 0].numpy()
