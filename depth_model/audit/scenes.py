"""Which scenes a collection holds: pictures that look alike to an encoder, and how many of each source there are.

A few images of every source, evenly spaced over its manifest, are described by the mean of an encoder's tokens;
k-means groups the descriptions, and each image stands for its share of its source. What a group is of, only a person
can tell: its pictures are shown. Counts nothing that only a label would say.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image
from scipy.cluster.vq import kmeans2

from depth_model.networks.encoder import Encoder
from depth_model.networks.preprocessing import normalized
from depth_model.shards.source import SourceFolder

PER_SOURCE = 64
"""Images of a source that are looked at; more only sharpen the shares."""
SCENES = 12
SIDE = 112
"""Pixels: a multiple of every encoder's patch."""
SHOWN = 10
_TILE, _GAP, _BATCH = 96, 4, 16


@dataclass(frozen=True)
class Scene:
    """A group of similar images: how many of each source it stands for (name -> count), and what it looks like.

    `pictures` is a JPEG of up to ten of them beside each other, the most typical of each source first.
    """

    counts: dict[str, float]
    pictures: bytes

    @property
    def images(self) -> float:
        """How many images of the collection the scene stands for."""
        return sum(self.counts.values())


def sampled_rows(count: int) -> np.ndarray:
    """Return which of `count` images of a source are looked at: at most `PER_SOURCE`, evenly spaced, int (n,)."""
    wanted = min(count, PER_SOURCE)
    return (np.arange(wanted) * count + count // 2) // max(wanted, 1)


def descriptions(encoder: Encoder, block: int, squares: np.ndarray) -> np.ndarray:
    """Return float32 (N, D) of unit length: the mean of the tokens of `block` for images uint8 (N, SIDE, SIDE, 3).

    What all images have in common is taken out first: it is most of such a mean and tells nothing apart.
    """
    images = torch.from_numpy(squares).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = [encoder(normalized(batch.float() / 255), [block])[0].mean(1) for batch in images.split(_BATCH)]
    means = torch.cat(found).double().numpy()
    means -= means.mean(0)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.maximum(lengths, 1e-12)).astype(np.float32)


def groups(described: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (group of each description, int (N,), from 0 without gaps; its distance to the middle of the group)."""
    count = max(1, min(SCENES, len(described) // 4))
    generator = np.random.default_rng([seed, count])
    middles, label = kmeans2(described.astype(np.float64), count, iter=50, minit="++", rng=generator)
    distance = np.linalg.norm(described - middles[label], axis=1)
    return np.unique(label, return_inverse=True)[1], distance


def scenes(sources: Mapping[str, SourceFolder], encoder: Encoder, block: int, seed: int) -> list[Scene]:
    """Return the scenes of `sources` (name -> folder), the largest first; none when there are no images.

    Raises BadInput for a damaged shard and StoreError when a store cannot be used.
    """
    rows = [(name, int(row)) for name, source in sources.items() for row in sampled_rows(len(source))]
    if not rows:
        return []
    squares = np.stack([_square(sources[name].image(row), SIDE) for name, row in rows])
    label, distance = groups(descriptions(encoder, block, squares), seed)
    stands_for = {name: len(source) / max(len(sampled_rows(len(source))), 1) for name, source in sources.items()}
    found = []
    for group in range(label.max() + 1):
        members = [index for index in np.argsort(distance, kind="stable") if label[index] == group]
        counts = {name: sum(rows[index][0] == name for index in members) * stands_for[name] for name in sources}
        typical = [_square(sources[name].image(row), _TILE) for name, row in _by_turns([rows[p] for p in members])]
        found.append(Scene({name: count for name, count in counts.items() if count}, _beside(typical)))
    return sorted(found, key=lambda scene: -scene.images)


def evenness(counts: Sequence[float]) -> float:
    """Return the effective number of scenes: the exponential of the entropy of their shares; 0 without any image."""
    shares = np.array([count for count in counts if count > 0], np.float64)
    if not len(shares):
        return 0.0
    shares /= shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _by_turns(members: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the first `SHOWN` of `members` (source, row), the first of each source before the second of any."""
    seen: dict[str, int] = {}
    turns = []
    for index, (name, _) in enumerate(members):
        seen[name] = seen.get(name, 0) + 1
        turns.append((seen[name], index))
    return [members[index] for _, index in sorted(turns)[:SHOWN]]


def _square(image: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of an image, uint8 (H, W, 3), as (side, side, 3)."""
    height, width = image.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return cv2.resize(image[top : top + short, left : left + short], (side, side), interpolation=cv2.INTER_AREA)


def _beside(tiles: Sequence[np.ndarray]) -> bytes:
    gap = np.full((_TILE, _GAP, 3), 255, np.uint8)
    row = np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], 1)
    buffer = io.BytesIO()
    Image.fromarray(row).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
