"""From what rays meet to linear RGB: materials, sun and lamps with shadows, ambient light, reflection, fog."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_model.world import noise
from depth_model.world.scene import Lamp, Material, Scene, Sun
from depth_model.world.tracing import Hits, Tracer

_UPRIGHT = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
_FAINT = 0.002  # light below this is not worth a shadow
_LIFT = 1e-4  # of the distance from the eye: how far secondary rays start above the surface


@dataclass(frozen=True)
class Visibility:
    """For each hit: the share of ambient light (M,) and of each light (lights, M) that reaches it."""

    ambient: np.ndarray
    lights: np.ndarray


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return `vectors` (..., 3) scaled to length 1."""
    return vectors / np.maximum(length(vectors), 1e-12)[..., None]


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the scalar products (N,) of vectors (N, 3)."""
    return np.einsum("ij,ij->i", first, second)


def length(vectors: np.ndarray) -> np.ndarray:
    """Return the lengths (...) of `vectors` (..., 3); several times as fast as numpy.linalg.norm."""
    return np.sqrt(np.einsum("...i,...i->...", vectors, vectors))


def visibility(
    tracer: Tracer, hits: Hits, eye: np.ndarray, pattern: np.ndarray, ambient_rays: int, light_rays: int
) -> Visibility:
    """Cast `ambient_rays` and `light_rays` (per light) from each hit and count what arrives.

    `pattern` int (M,) picks one of 16 sets of directions for each hit, so that neighboring pixels differ.
    """
    start = hits.points + _lift(hits, eye)
    ambient = _ambient(tracer, hits, start, pattern, ambient_rays)
    lights = np.stack(
        [_light(tracer, hits, start, light, pattern, light_rays) for light in tracer.scene.lights] or [[]]
    )
    return Visibility(ambient, lights)


def _lift(hits: Hits, eye: np.ndarray) -> np.ndarray:
    distance = length(hits.points - eye.astype(np.float32))[:, None]
    return hits.flat * np.maximum(_LIFT * distance, 2e-4)


def _spiral(count: int) -> np.ndarray:
    """Return (count, 2) points spread evenly over [0, 1)^2 (the R2 sequence)."""
    steps = np.arange(1, count + 1)[:, None]
    return (0.5 + steps * np.array([0.7548776662466927, 0.5698402909980532])) % 1.0


def _ambient(tracer: Tracer, hits: Hits, start: np.ndarray, pattern: np.ndarray, rays: int) -> np.ndarray:
    """Return the share of cosine-weighted directions in which nothing lies within reach."""
    if not rays:
        return np.ones(len(start), np.float32)
    spread = _spiral(16 * rays)
    radius, angle = np.sqrt(spread[:, 0]), 2 * np.pi * spread[:, 1]
    disc = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - spread[:, 0])], -1).astype(np.float32)
    side = unit(np.cross(hits.flat, _UPRIGHT[(np.abs(hits.flat[:, 2]) < 0.9).astype(int)]))
    across = np.cross(hits.flat, side)
    open_rays = np.zeros(len(start), np.float32)
    for ray in range(rays):
        first, second, third = (part[:, None] for part in disc[pattern * rays + ray].T)
        directions = first * side + second * across + third * hits.flat
        open_rays += ~tracer.blocked(start, directions, tracer.scene.surroundings.reach)
    return open_rays / rays


def _light(
    tracer: Tracer, hits: Hits, start: np.ndarray, light: Sun | Lamp, pattern: np.ndarray, rays: int
) -> np.ndarray:
    seen = np.zeros(len(start), np.float32)
    toward, strength = _arriving(light, start, np.ones(len(start), np.float32))
    lit = np.flatnonzero((dot(hits.flat, toward) > 0) & (strength * light.color.max() > _FAINT))
    spread = _spiral(16 * rays)
    angle, radius = 2 * np.pi * spread[:, 1], np.sqrt(spread[:, 0])
    shift = np.stack([radius * np.cos(angle), radius * np.sin(angle), 2 * spread[:, 0] - 1], -1).astype(np.float32)
    for ray in range(rays):
        chosen = shift[pattern[lit] * rays + ray]
        if isinstance(light, Sun):
            directions, reach = toward[lit] + light.spread * chosen, 1e4
        else:
            directions = light.position.astype(np.float32) + light.radius * chosen - start[lit]
            # The lamp's own shade must not block it.
            reach = 1 - light.radius * 1.5 / np.maximum(length(directions), light.radius * 1.6)
        seen[lit] += ~tracer.blocked(start[lit], directions, reach)
    return seen / rays


def shade(
    tracer: Tracer,
    origins: np.ndarray,
    directions: np.ndarray,
    hits: Hits,
    seen: Visibility,
    pixel: float,
    reflections: bool = True,
) -> np.ndarray:
    """Return linear RGB (N, 3) of the rays; `pixel` is the angle of a pixel in radians."""
    scene = tracer.scene
    toward = unit(directions.astype(np.float32))
    color = np.zeros((len(directions), 3), np.float32)
    missed = hits.face < 0
    if missed.any():
        color[missed] = _background(scene, toward[missed])
    if hits.rays.size:
        eyes = origins[hits.rays].astype(np.float32)
        color[hits.rays] = _surfaces(tracer, eyes, toward[hits.rays], hits, seen, pixel, reflections)
    return color


def _background(scene: Scene, directions: np.ndarray) -> np.ndarray:
    if scene.sky is None:
        return np.broadcast_to(scene.surroundings.above, directions.shape)
    color = scene.sky.radiance(directions)
    if scene.fog is None:
        return color
    haze = np.exp(-np.clip(directions[:, 2:], 0, 1) * 3)
    return color + (scene.fog.color - color) * haze


def _surfaces(
    tracer: Tracer,
    eyes: np.ndarray,
    toward: np.ndarray,
    hits: Hits,
    seen: Visibility,
    pixel: float,
    reflections: bool,
) -> np.ndarray:
    scene = tracer.scene
    distance = length(hits.points - eyes)
    facing = np.abs(dot(toward, hits.flat))
    footprint = distance * pixel / np.sqrt(np.maximum(facing, 0.02))
    looks = _looks(tracer, hits, footprint)
    diffuse, highlight = _received(scene, hits.points, looks.normals, toward, looks.gloss, seen)
    color = looks.albedo * diffuse + highlight + looks.emission
    shiny = np.flatnonzero(looks.mirror > 0) if reflections else np.empty(0, int)
    if shiny.size:
        color[shiny] = _reflected(tracer, eyes[shiny], toward[shiny], hits, shiny, looks, color[shiny], pixel)
    if scene.fog is not None:
        through = np.exp(-scene.fog.density * distance)[:, None]
        color = color * through + scene.fog.color * (1 - through)
    return color


@dataclass(frozen=True)
class _Looks:
    albedo: np.ndarray
    emission: np.ndarray
    normals: np.ndarray
    gloss: np.ndarray
    mirror: np.ndarray


def _looks(tracer: Tracer, hits: Hits, footprint: np.ndarray) -> _Looks:
    """Evaluate the material of every hit, material by material."""
    scene = tracer.scene
    number = scene.material_of_face[hits.face[hits.rays]]
    uv = hits.uv
    albedo, emission = np.zeros((2, len(number), 3), np.float32)
    normals = hits.normals.copy()
    gloss, mirror = (
        np.array([getattr(one, name) for one in scene.materials], np.float32)[number] for name in ("gloss", "mirror")
    )
    order = np.argsort(number, kind="stable")
    for chosen in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        material = scene.materials[number[chosen[0]]]
        albedo[chosen] = material.albedo(uv[chosen], footprint[chosen])
        if material.emission is not None:
            emission[chosen] = material.emission(uv[chosen], footprint[chosen])
        if material.relief is not None:
            normals[chosen] = _tilted(tracer, hits, chosen, footprint, material)
    return _Looks(albedo, emission, normals, gloss, mirror)


def _tilted(tracer: Tracer, hits: Hits, chosen: np.ndarray, footprint: np.ndarray, material: Material) -> np.ndarray:
    relief = material.relief
    slope = noise.sample(relief.kind, hits.uv[chosen] / relief.size, footprint[chosen] / relief.size)[:, 1:]
    slope = np.clip(slope * np.float32(relief.depth / relief.size), -1.5, 1.5)
    along_u, along_v = tracer.surface_axes(hits.face[hits.rays[chosen]])
    return unit(hits.normals[chosen] - slope[:, :1] * along_u - slope[:, 1:] * along_v)


def _received(
    scene: Scene, points: np.ndarray, normals: np.ndarray, toward: np.ndarray, gloss: np.ndarray, seen: Visibility
) -> tuple[np.ndarray, np.ndarray]:
    """Return (diffuse, highlight), both (M, 3), of the light that arrives at `points`."""
    around = scene.surroundings
    above, below = (np.asarray(color, np.float32) for color in (around.above, around.below))
    up = 0.5 + 0.5 * normals[:, 2:]
    diffuse = (below + (above - below) * up) * (0.15 + 0.85 * seen.ambient)[:, None]
    highlight = np.zeros_like(diffuse)
    glossy = np.flatnonzero(gloss > 0)
    for light, share in zip(scene.lights, seen.lights):
        to_light, strength = _arriving(light, points, share)
        cosine = np.clip(dot(normals, to_light), 0, None)
        color = light.color.astype(np.float32)
        diffuse += (cosine * strength)[:, None] * color
        half = unit(to_light[glossy] - toward[glossy])
        sharp = np.clip(dot(normals[glossy], half), 0, 1) ** (20 + 200 * gloss[glossy])
        bright = sharp * gloss[glossy] * (cosine[glossy] > 0) * strength[glossy]
        highlight[glossy] += bright[:, None] * color
    return diffuse, highlight


def _arriving(light: Sun | Lamp, points: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions to a light (M, 3) and what is left (M,) of its strength at `points`."""
    if isinstance(light, Sun):
        return np.broadcast_to(light.toward.astype(np.float32), points.shape), share
    offset = light.position.astype(np.float32) - points
    squared = np.maximum(dot(offset, offset), np.float32(light.radius**2))
    return offset / np.sqrt(squared)[:, None], share / squared


def _reflected(
    tracer: Tracer,
    eyes: np.ndarray,
    toward: np.ndarray,
    hits: Hits,
    shiny: np.ndarray,
    looks: _Looks,
    own: np.ndarray,
    pixel: float,
) -> np.ndarray:
    """Return the color of mirroring surfaces: Schlick's mix of their own color and what they reflect."""
    normals = looks.normals[shiny]
    cosine = dot(toward, normals)
    mirrored = toward - 2 * cosine[:, None] * normals
    under = dot(mirrored, hits.flat[shiny]) < 0.02
    mirrored[under] += hits.flat[shiny][under] * 0.3
    distance = np.abs(hits.depth[hits.rays[shiny], None]).astype(np.float32)
    start = hits.points[shiny] + hits.flat[shiny] * 1e-3 * np.maximum(1.0, distance)
    met = tracer.hits(start, mirrored)
    pattern = np.zeros(len(met.rays), int)
    seen = visibility(tracer, met, eyes.mean(0), pattern, 0, 1)
    reflected = shade(tracer, start, mirrored, met, seen, 2 * pixel, reflections=False)
    head_on = looks.mirror[shiny]
    share = head_on + (1 - head_on) * (1 - np.clip(np.abs(cosine), 0, 1)) ** 5
    return own * (1 - share)[:, None] + reflected * share[:, None]


def smoothed(values: np.ndarray, guide: np.ndarray, radius: int = 2, least: float = 1e-3) -> np.ndarray:
    """Return `values` (H, W) smoothed within surfaces: a guided filter (He et al. 2010) over `guide` (H, W)."""
    side = (2 * radius + 1, 2 * radius + 1)

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.blur(image, side, borderType=cv2.BORDER_REFLECT)

    center = guide.astype(np.float64)
    level, average = mean(center), mean(values)
    slope = (mean(center * values) - level * average) / (mean(center * center) - level * level + least)
    return np.clip(mean(slope) * center + mean(average - slope * level), 0, 1)
