"""Open country by day: rolling ground with trees, rocks, a lake or a path, mountains behind, under a sky."""

from __future__ import annotations

import numpy as np

from depth_model.world import labels, noise, outdoors, weather
from depth_model.world.furniture import foliage
from depth_model.world.scene import Camera, Material, Parts, Relief, Scene, Spot, looking
from depth_model.world.shapes import Mesh, blob, ground, plane
from depth_model.world.textures import blended, hsv, random_color


def build(rng: np.random.Generator) -> Scene:
    """Return a landscape that rises away along y."""
    land = _Land(rng)
    parts = Parts(rng)
    for mesh, material in land.meshes(rng):
        parts.add(mesh, material, aligned=True)
    _grow(parts, rng, land)
    if rng.random() < 0.5:
        _settle(parts, rng, land)
    light = weather.day(rng, reach=3.0, haze=10 ** rng.uniform(-3.6, -2.7))
    return Scene(
        **parts.assembled(),
        lights=(light.sun,),
        surroundings=light.surroundings,
        sky=light.sky,
        fog=light.fog,
        view=lambda chance: _view(chance, land),
        near=0.8,
        brightness=rng.uniform(0.36, 0.48),
        noise=rng.uniform(0.004, 0.014),
        most_sky=0.55,
        most_of_one=0.8,
    )


class _Land:
    """The height of the ground at any place, and whether water stands there."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.shift = rng.uniform(0, 50, 2)
        self.rolling = rng.uniform(2, 9)
        self.rise = rng.uniform(20, 90) if rng.random() < 0.7 else 0.0
        self.water = -self.rolling * rng.uniform(0.05, 0.35) if rng.random() < 0.45 else None

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the height in meters of the ground at `x`, `y` (any one shape)."""
        places = np.stack([np.ravel(x), np.ravel(y)], -1)
        smooth = np.full(len(places), 1 / 64)
        slow = noise.sample("cloud", places / 600 + self.shift, smooth)[:, 0] - 0.5
        fast = noise.sample("cloud", places / 90 + self.shift, smooth)[:, 0] - 0.5
        distance = np.hypot(*places.T)
        far = np.clip((distance - 150) / 450, 0, 1) ** 1.3
        ridges = 0.35 + noise.sample("cloud", places / 1500 + self.shift, smooth)[:, 0]
        heights = 2.4 * self.rolling * slow + 0.5 * self.rolling * fast * np.clip(distance / 30, 0.2, 1)
        return (heights + self.rise * 2 * far * ridges).reshape(np.shape(x))

    def meshes(self, rng: np.random.Generator) -> list[tuple[Mesh, Material]]:
        """Return the ground, near and far, and the water."""
        grass = hsv(rng.uniform(0.14, 0.3), rng.uniform(0.4, 0.7), rng.uniform(0.35, 0.6))
        dry = hsv(rng.uniform(0.1, 0.16), rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.7))
        stone = random_color(rng, (0.03, 0.2), (0.4, 0.6), (0.05, 0.12))
        near = Material(labels.GRASS, blended(grass, dry, 14.0, "cloud", 3), relief=Relief("grain", 3.0, 0.12))
        far = Material(
            labels.MOUNTAIN, blended(grass * 0.8, stone, 160.0, "cloud", 5), relief=Relief("cloud", 120.0, 9)
        )
        half = np.concatenate([np.linspace(0, 12, 13), np.geomspace(13.5, 900, 30)])
        across = np.concatenate([-half[:0:-1], half])
        ahead = np.concatenate([np.linspace(-14, 24, 30), np.geomspace(25.5, 900, 50)])
        heights = self.height(*np.meshgrid(across, ahead))
        border = int(np.searchsorted(ahead, 220))
        meshes = [
            (ground(heights[: border + 1], across, ahead[: border + 1]), near),
            (ground(heights[border:], across, ahead[border:]), far),
        ]
        if self.water is not None:
            surface = Material(
                labels.LAKE,
                blended(hsv(0.52, 0.6, 0.25), hsv(0.45, 0.5, 0.3), 30.0),
                gloss=1.0,
                mirror=0.06,
                relief=Relief("cloud", 3.0, 0.015),
            )
            meshes.append((plane((-900, 900), (-20, 900), self.water), surface))
        return meshes

    def dry(self, x: float, y: float) -> bool:
        """Return whether no water stands at the place."""
        return self.water is None or float(self.height(np.array(x), np.array(y))) > self.water + 0.15

    def spot(self, parts: Parts, x: float, y: float, rng: np.random.Generator, sunk: float) -> Spot:
        """Return the place on the ground at (x, y), `sunk` meters below the surface, with a random heading."""
        return Spot(parts, (x, y, float(self.height(np.array(x), np.array(y))) - sunk), rng.uniform(0, 6.28))


def _view(rng: np.random.Generator, land: _Land) -> Camera:
    x, y = rng.uniform(-3, 3), rng.uniform(-4, 4)
    base = float(land.height(np.array(x), np.array(y)))
    eye = max(base, -1e9 if land.water is None else land.water) + rng.choice([rng.uniform(1.2, 2), rng.uniform(2, 7)])
    pitch = rng.normal(-0.04, 0.07) - 0.02 * (eye - base)
    return looking((x, y, eye), rng.normal(0, 0.25), pitch, rng.normal(0, 0.03), np.deg2rad(rng.uniform(42, 78)))


def _grow(parts: Parts, rng: np.random.Generator, land: _Land) -> None:
    """Scatter trees, shrubs and rocks, denser toward groves."""
    conifers, leaf = rng.choice([0.05, 0.5, 0.95]), foliage(rng, labels.PLANT)
    trees, far = (outdoors.trees(rng, 4, conifers, detail) for detail in (2, 1))
    groves = np.stack([rng.uniform(-60, 60, 6), rng.uniform(15, 200, 6)], -1)
    for _ in range(rng.integers(25, 70)):
        near = groves[rng.integers(6)] + rng.normal(0, 12, 2)
        x, y = near if rng.random() < 0.7 else (rng.uniform(-40, 40), rng.uniform(6, 90))
        if y < 6 or not land.dry(x, y):
            continue
        land.spot(parts, x, y, rng, 0.2).place((trees if y < 50 else far)[rng.integers(4)], rng.uniform(4, 13))
    stone = outdoors.rock_material(rng)
    for _ in range(rng.integers(4, 20)):
        x, y, size = rng.normal(0, 9), rng.uniform(3, 35), rng.lognormal(-0.9, 0.6)
        mesh = blob(size, rng, 0.35).scaled((1.2, 1, 0.75))
        spot = land.spot(parts, x, y, rng, size * 0.2)
        spot.add(mesh, stone)
    for _ in range(rng.integers(5, 25)):
        x, y = rng.normal(0, 12), rng.uniform(4, 45)
        if land.dry(x, y):
            outdoors.bush(land.spot(parts, x, y, rng, 0.05), rng, rng.uniform(0.3, 1.3), leaf)


def _settle(parts: Parts, rng: np.random.Generator, land: _Land) -> None:
    """Add houses, fences and walkers."""
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-35, 35), rng.uniform(30, 110)
        if land.dry(x, y):
            outdoors.house(land.spot(parts, x, y, rng, 0.6), rng)
    x, y = rng.uniform(-5, 5), rng.uniform(7, 18)
    heading = rng.normal(0, 0.4)
    for k in range(rng.integers(2, 7)):
        place = x + 4 * k * np.cos(heading), y + 4 * k * np.sin(heading)
        spot = land.spot(parts, *place, rng, 0.15)
        outdoors.fence(Spot(parts, spot.at, heading), rng, 4.0)
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(-8, 8), rng.uniform(5, 30)
        if land.dry(x, y):
            outdoors.person(land.spot(parts, x, y, rng, 0.05), rng)
