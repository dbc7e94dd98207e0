"""Class labels for an image, by windows and scales (docs/paper.md 4.3).

The shorter side goes to `short_side`, bilinear as in training, windows as large as the training crops cover the
picture, their scores are averaged where they overlap. With several scales and mirrored pictures, class probabilities
are averaged. The released configuration of Cityscapes scales the original picture instead, pads it to whole patches and
takes the softmax of what every view says at the size of the picture (`of_original`).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_model.networks.preprocessing import network_size
from depth_model.prediction.predictor import Picture, network_image, rgb
from depth_model.semantic.heads.segmentation import LinearHead, Segmentation

MULTI_SCALE = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
LONGEST = 4
"""Of the longer side, relative to the shorter one asked for: very wide pictures are scaled down to it."""
CLASSES_AT_ONCE = 16


class Segmenter:
    """Labels of images of any size: `Segmenter(model)(image)`.

    `short_side` of the picture for the network and `stride` between windows of `model.side`, in pixels (default: the
    side, and half of it, in multiples of the patch); `scales` multiply the shorter side, with `of_original` that of the
    picture itself; with `flip` each is also seen mirrored. Memory: one map of all classes at the network's size (with
    `of_original` two at the picture's), one window, and 16 classes at the image's size.
    """

    def __init__(
        self,
        model: Segmentation,
        short_side: int | None = None,
        stride: int | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        of_original: bool = False,
    ) -> None:
        self.model = model.eval()
        self.short_side = short_side or model.side
        self.stride = stride or self._in_patches(model.side // 2)
        self.scales, self.flip, self.of_original = tuple(scales), flip, of_original

    def __call__(self, picture: Picture) -> np.ndarray:
        """Return uint8 (H, W), the class of every pixel. Raises what `depth_model.prediction.predictor.rgb` raises."""
        image = rgb(picture)
        return self.at(image, image.shape[:2])

    def at(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return uint8 labels of an image uint8 (H, W, 3) at `size`, that of the labels it is compared with."""
        return largest(self.scores(image), size)

    @torch.inference_mode()
    def scores(self, image: np.ndarray) -> Tensor:
        """Return scores (C, h, w), on the CPU at the size of the network or image, of an image uint8 (H, W, 3)."""
        base = image.shape[:2] if self.of_original else self._size(image, 1.0)
        total = torch.zeros(len(self.model.classes), *base)
        for scale in self.scales:
            size = self._size(image, scale)
            scaled = image if image.shape[:2] == size else cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
            shown = torch.from_numpy(network_image(scaled, size))
            for mirrored in (False, True) if self.flip else (False,):
                found = self._view(shown.flip(-1) if mirrored else shown, base)
                total += found.flip(-1) if mirrored else found
        return total

    def _view(self, shown: Tensor, base: tuple[int, int]) -> Tensor:
        """Return scores (C, *base) of `shown` (3, h, w), as one of several views where there are several."""
        height, width = shown.shape[1:]
        patch = self.model.encoder.patch
        found = self._by_windows(functional.pad(shown, (0, -width % patch, 0, -height % patch)))[:, :height, :width]
        alone = len(self.scales) == 1 and not self.flip
        if not (alone or self.of_original) and isinstance(self.model.head, LinearHead):
            found = found.softmax(0)
        found = functional.interpolate(found[None], size=base, mode="bilinear", align_corners=False)[0]
        return found.softmax(0) if self.of_original else found

    def _size(self, image: np.ndarray, scale: float) -> tuple[int, int]:
        height, width = image.shape[:2]
        if self.of_original:
            return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
        side = self.short_side * min(1.0, LONGEST * min(height, width) / max(height, width))
        patch = self.model.encoder.patch
        return network_size(height, width, max(patch, round(side * scale / patch) * patch), patch)

    def _in_patches(self, length: int) -> int:
        patch = self.model.encoder.patch
        return max(patch, length // patch * patch)

    def _by_windows(self, shown: Tensor) -> Tensor:
        """Return mean scores (C, h, w) of `shown` (3, h, w)."""
        device = next(self.model.parameters()).device
        height, width = shown.shape[1:]
        total, times = torch.zeros(len(self.model.classes), height, width), torch.zeros(height, width)
        for top in window_starts(height, self.model.side, self.stride):
            for left in window_starts(width, self.model.side, self.stride):
                place = slice(top, top + self.model.side), slice(left, left + self.model.side)
                total[:, *place] += self.model(shown[None, :, *place].to(device))[0].cpu()
                times[place] += 1
        return total / times


def window_starts(length: int, side: int, stride: int) -> list[int]:
    """Return where windows of `side` begin along `length`: every `stride`, the last one moved back to the end."""
    count = max(0, -(-(length - side) // stride)) + 1
    return [max(0, min(number * stride, length - side)) for number in range(count)]


def largest(scores: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 (H, W) at `size`: the class of the largest of `scores` (C, h, w), scaled bilinear in parts."""
    best, labels = torch.full(size, -torch.inf), torch.zeros(size, dtype=torch.uint8)
    for start in range(0, len(scores), CLASSES_AT_ONCE):
        some = scores[None, start : start + CLASSES_AT_ONCE]
        values, places = functional.interpolate(some, size=size, mode="bilinear", align_corners=False)[0].max(0)
        better = values > best
        best[better], labels[better] = values[better], (places[better] + start).to(torch.uint8)
    return labels.numpy()
