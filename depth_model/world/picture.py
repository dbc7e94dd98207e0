"""One picture of a scene: a valid view, image, exact planar depth and class labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from depth_model.world import labels
from depth_model.world.scene import Camera, Scene
from depth_model.world.shading import Visibility, shade, smoothed, visibility
from depth_model.world.tracing import Cast, Hits, Tracer

_VIEWS = 40
_SCENES = 25
_EXTRA = 2


@dataclass(frozen=True)
class Picture:
    """image uint8 (H, W, 3), planar depth float32 (H, W) in meters with NaN for sky, semantic uint8 (H, W)."""

    image: np.ndarray
    depth: np.ndarray
    semantic: np.ndarray
    camera: Camera
    scene: Scene


def take_picture(
    build: Callable[[np.random.Generator], Scene], rng: np.random.Generator, height: int, width: int
) -> Picture:
    """Build scenes until one has a view that is worth a picture, and render that.

    Raises RuntimeError when 25 scenes had none, which means that `build` is at fault.
    """
    for _ in range(_SCENES):
        scene = build(rng)
        tracer = Tracer(scene)
        camera = _valid_view(tracer, rng, height / width)
        if camera is not None:
            return render(tracer, camera, rng, height, width)
    raise RuntimeError(f"{build.__module__}: no valid view in {_SCENES} scenes of {_VIEWS} views")


def _valid_view(tracer: Tracer, rng: np.random.Generator, aspect: float) -> Camera | None:
    """Return the first proposed view that is outside all solids, not too near, and shows enough near and far."""
    width = 64
    height = round(width * aspect)
    for _ in range(_VIEWS):
        camera = tracer.scene.view(rng)
        directions, origins = _pixel_rays(camera, height, width)
        cast = tracer.cast(origins, directions)
        if not tracer.from_behind(cast, directions).any() and _worth_a_picture(tracer.scene, cast):
            return camera
    return None


def _worth_a_picture(scene: Scene, cast: Cast) -> bool:
    met = cast.face >= 0
    if 1 - met.mean() > scene.most_sky or cast.depth.min() < scene.near:
        return False
    depth = cast.depth[met]
    parts = np.bincount(scene.part_of_face[cast.face[met]])
    spread = np.quantile(depth, 0.95) / np.quantile(depth, 0.05)
    return spread > 2.0 and (parts > 0.008 * len(met)).sum() >= 5 and parts.max() < scene.most_of_one * len(met)


def _pixel_rays(camera: Camera, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    directions = camera.directions(height, width, np.stack([x.ravel(), y.ravel()], -1))
    return directions, np.broadcast_to(camera.position, directions.shape)


def render(tracer: Tracer, camera: Camera, rng: np.random.Generator, height: int, width: int) -> Picture:
    """Render what `camera` sees."""
    directions, origins = _pixel_rays(camera, height, width)
    hits = tracer.hits(origins, directions)
    pixel = 1 / camera.intrinsics(height, width)[0]
    seen = _smooth_visibility(tracer, hits, camera, height, width)
    color = shade(tracer, origins, directions, hits, seen, pixel).reshape(height, width, 3)
    color = _with_smooth_edges(tracer, camera, hits, seen, color, rng)
    met = hits.face.reshape(height, width) >= 0
    depth = np.where(met, hits.depth.reshape(height, width), np.nan).astype(np.float32)
    classes = np.array([material.label for material in tracer.scene.materials], np.uint8)
    semantic = np.full(height * width, labels.SKY, np.uint8)
    semantic[hits.rays] = classes[tracer.scene.material_of_face[hits.face[hits.rays]]]
    return Picture(developed(color, tracer.scene, rng), depth, semantic.reshape(height, width), camera, tracer.scene)


def _smooth_visibility(tracer: Tracer, hits: Hits, camera: Camera, height: int, width: int) -> Visibility:
    y, x = np.divmod(hits.rays, width)
    light_rays = 2 if len(tracer.scene.lights) < 4 else 1
    raw = visibility(tracer, hits, camera.position, (x % 4) + 4 * (y % 4), 3, light_rays)
    guide = np.full(height * width, 20.0)
    guide[hits.rays] = 8 * np.log(hits.depth[hits.rays])

    def spread(values: np.ndarray, radius: int) -> np.ndarray:
        image = np.ones(height * width)
        image[hits.rays] = values
        return smoothed(image.reshape(height, width), guide.reshape(height, width), radius).ravel()[hits.rays]

    return Visibility(spread(raw.ambient, 2), np.stack([spread(one, 1) for one in raw.lights] or [[]]))


def _with_smooth_edges(
    tracer: Tracer, camera: Camera, hits: Hits, seen: Visibility, color: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Average _EXTRA more rays into each pixel at the edge of a part, where one ray would show stairs."""
    height, width = color.shape[:2]
    part = np.full(height * width, -1)
    part[hits.rays] = tracer.scene.part_of_face[hits.face[hits.rays]]
    edge = np.flatnonzero(_differs_from_neighbors(part.reshape(height, width)))
    if not edge.size:
        return color
    ambient = np.ones(height * width)
    ambient[hits.rays] = seen.ambient
    places = np.stack([edge % width, edge // width], -1)
    places = np.repeat(places, _EXTRA, axis=0) + rng.uniform(-0.5, 0.5, (_EXTRA * len(edge), 2))
    directions = camera.directions(height, width, places)
    origins = np.broadcast_to(camera.position, directions.shape)
    more = tracer.hits(origins, directions)
    lights = visibility(tracer, more, camera.position, np.arange(len(more.rays)) % 16, 0, 1).lights
    extra = Visibility(np.repeat(ambient[edge], _EXTRA)[more.rays], lights)
    pixel = 1 / camera.intrinsics(height, width)[0]
    added = shade(tracer, origins, directions, more, extra, pixel).reshape(-1, _EXTRA, 3)
    flat = color.reshape(-1, 3)
    flat[edge] = (_compressed(flat[edge]) + _compressed(added).sum(1)) / (1 + _EXTRA)
    flat[edge] = _expanded(flat[edge])
    return flat.reshape(color.shape)


def _compressed(color: np.ndarray) -> np.ndarray:
    # Averaging bright light linearly would leave stairs around lamps after the tone curve.
    return color / (1 + color)


def _expanded(color: np.ndarray) -> np.ndarray:
    return color / np.maximum(1 - color, 1e-3)


def _differs_from_neighbors(part: np.ndarray) -> np.ndarray:
    edge = np.zeros(part.shape, bool)
    across, down = part[:, 1:] != part[:, :-1], part[1:] != part[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def developed(color: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the uint8 image a camera makes of linear RGB (H, W, 3): exposure, lens, tone, noise, gamma."""
    luminance = color @ np.array([0.2126, 0.7152, 0.0722])
    key = np.exp(np.log(luminance + 1e-3).mean())
    color = color * (scene.brightness**2.2 / key * np.exp(rng.normal(0, 0.15)))
    color = color * (1 + rng.normal(0, 0.03, 3))
    color = cv2.GaussianBlur(color.astype(np.float32), (0, 0), rng.uniform(0.35, 0.6))
    height, width = color.shape[:2]
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) ** 2 for side in (height, width))
    color *= (1 - np.float32(rng.uniform(0, 0.1)) * (x + y[:, None]))[..., None]
    toned = np.clip(color * (1 + color / 9) / (1 + color), 0, 1)  # extended Reinhard, white at 3
    display = (1.25 * toned).clip(0, 1) ** (1 / 2.2)
    grain = rng.standard_normal(display.shape, np.float32) * scene.noise * (0.6 + 0.8 * (1 - display))
    return np.rint(np.clip(display + grain, 0, 1) * 255).astype(np.uint8)
