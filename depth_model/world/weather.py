"""Skies and the light that goes with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_model.world.scene import Fog, Sky, Sun, Surroundings
from depth_model.world.textures import hsv


@dataclass(frozen=True)
class Weather:
    """The sky, the sun or moon, the light from all around, and the air."""

    sky: Sky
    sun: Sun
    surroundings: Surroundings
    fog: Fog | None = None


def _direction(rng: np.random.Generator, height: tuple[float, float]) -> np.ndarray:
    elevation, azimuth = np.deg2rad(rng.uniform(*height)), rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])


def day(rng: np.random.Generator, reach: float, haze: float) -> Weather:
    """Return clear, cloudy, overcast or low evening light; `haze` is the density of the air per meter."""
    kind = rng.choice(4, p=[0.35, 0.3, 0.2, 0.15])
    toward = _direction(rng, [(25, 65), (25, 60), (35, 70), (6, 18)][kind])
    warm = [0.12, 0.12, 0.1, 0.07][kind]
    strength = [3.2, 2.6, 0.35, 2.6][kind]
    sun = hsv(warm, [0.12, 0.1, 0.03, 0.5][kind], 1.0) * strength
    blue = hsv(rng.uniform(0.56, 0.62), [0.7, 0.55, 0.08, 0.45][kind], rng.uniform(0.75, 0.95)) * 1.2
    pale = hsv(rng.uniform(0.53, 0.6), [0.25, 0.15, 0.04, 0.1][kind], 0.95) * 1.3
    if kind == 3:
        pale = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.3, 0.6), 1.0) * 1.3
    cover = [rng.uniform(0, 0.4), rng.uniform(0.5, 0.8), rng.uniform(0.8, 1.0), rng.uniform(0, 0.7)][kind]
    cloud = hsv(warm, 0.05 if kind < 3 else 0.25, 1.0) * [1.7, 1.6, 1.0, 1.2][kind]
    above = (blue * 0.5 + pale * 0.5) * [0.55, 0.65, 0.9, 0.45][kind]
    sky = Sky(blue, pale, cloud, cover, sun * [0.4, 0.3, 0.3, 0.9][kind], toward, rng.uniform(0, 50, 2))
    spread = 0.01 if kind != 2 else 0.3
    below = above * np.array([0.5, 0.45, 0.38])
    return Weather(sky, Sun(toward, sun, spread), Surroundings(above, below, reach), Fog(haze, pale))


def moonlit(rng: np.random.Generator, reach: float) -> Weather:
    """Return a night sky, with or without a moon, brightened by the lamps of a town."""
    toward = _direction(rng, (25, 65))
    moon = hsv(0.6, 0.2, 1.0) * rng.choice([0.0, rng.uniform(0.02, 0.1)])
    town = hsv(rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.6), 1.0) * rng.uniform(0.005, 0.04)
    zenith = hsv(rng.uniform(0.58, 0.68), 0.6, 1.0) * rng.uniform(0.002, 0.012)
    sky = Sky(zenith, zenith + town, zenith + 1.3 * town, rng.uniform(0, 1), moon * 2, toward, rng.uniform(0, 50, 2))
    above = zenith * 1.5 + town * 0.5
    return Weather(sky, Sun(toward, moon), Surroundings(above, above * 0.6, reach))


def fog(rng: np.random.Generator, reach: float, visibility: float) -> Weather:
    """Return gray light in fog in which contrast falls to 5 % over `visibility` meters."""
    toward = _direction(rng, (20, 60))
    gray = hsv(rng.choice([0.08, 0.12, 0.55, 0.6]), rng.uniform(0.0, 0.15), 1.0) * rng.uniform(0.7, 1.1)
    sky = Sky(gray * 1.05, gray, gray, 0.5, gray * rng.uniform(0, 0.5), toward, rng.uniform(0, 50, 2))
    surroundings = Surroundings(gray * 0.8, gray * 0.4, reach)
    return Weather(sky, Sun(toward, gray * rng.uniform(0, 0.8), 0.3), surroundings, Fog(3.0 / visibility, gray))
