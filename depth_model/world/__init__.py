"""A procedurally built world: pictures of seven kinds of places with exact depth and class labels.

`render_sample` is a pure function of (domain, seed, index, size): the same bytes on every call. Scenes are built
from closed solids with procedural textures, ray-cast with Embree and lit with shadows, ambient occlusion, one
reflection and fog. Says nothing of what the pictures are used for, and downloads nothing.
"""

from __future__ import annotations

import io
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from depth_model.world.picture import Picture

DOMAINS = ("rooms", "streets", "hills", "close_ups", "night", "columns", "fog")
"""The order is part of the seed of every picture: append only."""

JPEG_QUALITY = 92


def render_sample(domain: str, seed: int, index: int, height: int, width: int) -> Picture:
    """Return picture `index` of `domain`: image, planar depth in meters, ADE20K classes, camera and scene.

    Raises ValueError for an unknown domain, with the names there are.
    """
    if domain not in DOMAINS:
        raise ValueError(f"domain {domain!r} is unknown (allowed: {', '.join(DOMAINS)})")
    from depth_model.world.picture import take_picture

    rng = np.random.default_rng([seed, DOMAINS.index(domain), index])
    build = import_module(f"{__name__}.domains.{domain}").build
    return take_picture(build, rng, height, width)


def encoded(image: np.ndarray) -> bytes:
    """Return `image`, uint8 (H, W, 3), as JPEG bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def generator_version(domain: str) -> str:
    """Return the SHA-256 of the source code that the pictures of `domain` depend on."""
    folder = Path(__file__).parent
    shared = sorted(path for path in folder.glob("*.py"))
    digest = sha256()
    for path in [*shared, folder / "domains" / f"{domain}.py"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
