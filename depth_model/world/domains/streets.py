"""Streets of a town by day: buildings on both sides, cars, lamp posts, trees and people under a sky."""

from __future__ import annotations

import numpy as np

from depth_model.world import labels, outdoors, weather
from depth_model.world.scene import Camera, Material, Parts, Relief, Scene, Spot, looking
from depth_model.world.shapes import box, cylinder, plane
from depth_model.world.textures import Texture, blended, hsv, plain, pulse, random_color, tiled


def build(rng: np.random.Generator) -> Scene:
    """Return a street that leads away along y."""
    road, walk = rng.uniform(5.5, 10), rng.uniform(1.8, 4)
    parts = Parts(rng)
    ground(parts, rng, road, walk)
    _houses(parts, rng, road / 2 + walk)
    _furnish(parts, rng, road, walk)
    _traffic(parts, rng, road)
    light = weather.day(rng, reach=4.0, haze=10 ** rng.uniform(-3.6, -2.6))
    return Scene(
        **parts.assembled(),
        lights=(light.sun,),
        surroundings=light.surroundings,
        sky=light.sky,
        fog=light.fog,
        view=lambda chance: view(chance, road, walk),
        near=1.0,
        brightness=rng.uniform(0.36, 0.48),
        noise=rng.uniform(0.004, 0.014),
    )


def view(rng: np.random.Generator, road: float, walk: float) -> Camera:
    """Propose a view from the road or the pavement, from low to first floor, mostly along the street."""
    x = rng.uniform(-1, 1) * (road / 2 + walk - 0.5)
    eye = rng.choice([rng.uniform(1.2, 2.0), rng.uniform(2.0, 5.0)], p=[0.8, 0.2])
    heading = np.clip(rng.normal(0, 0.3), -0.9, 0.9) + 0.04 * x
    pitch = rng.normal(0.02, 0.07) - 0.05 * (eye - 1.5)
    return looking((x, rng.uniform(-5, 10), eye), heading, pitch, rng.normal(0, 0.025), np.deg2rad(rng.uniform(48, 85)))


def ground(parts: Parts, rng: np.random.Generator, road: float, walk: float) -> None:
    """Add the road with its markings, two pavements with kerbs, and the ground below the buildings."""
    far = 260.0
    asphalt = Material(labels.ROAD, _marked(rng, road), relief=Relief("grain", 0.5, 0.004))
    parts.add(plane((-road / 2, road / 2), (-30, far)), asphalt, aligned=True)
    stone = random_color(rng, (0, 0.15), (0.4, 0.75))
    side = rng.uniform(0.3, 0.8)
    slabs = tiled(plain(stone, 0.15, 1.0, "grain"), stone * 0.4, (side, side), 0.02, rng.choice([0.0, 0.5]), 0.12)
    paving = Material(labels.SIDEWALK, slabs)
    kerb = Material(labels.SIDEWALK, tiled(plain(stone * 1.1, 0.1), stone * 0.3, (1.0, 2.0), 0.02))
    lawn = Material(labels.GRASS, blended(hsv(0.25, 0.6, 0.35), hsv(0.22, 0.5, 0.55), 3.0, "grain", 2))
    for side in (-1, 1):
        middle = side * (road / 2 + walk / 2)
        parts.add(box(walk, far + 30, 0.14), paving, (middle, far / 2 - 15, 0))
        parts.add(box(0.15, far + 30, 0.15), kerb, (side * (road / 2 + 0.075), far / 2 - 15, 0))
        outer = sorted((side * (road / 2 + walk), side * 120))
        parts.add(plane(tuple(outer), (-30, far)), lawn, (0, 0, 0.02))


def _marked(rng: np.random.Generator, road: float) -> Texture:
    base = hsv(rng.uniform(0.05, 0.65), rng.uniform(0, 0.1), rng.uniform(0.28, 0.48))
    asphalt = blended(base * 0.8, base * 1.2, 4.0, "grain", 2)
    patches = plain(np.ones(3), 0.15, 12.0)
    crossing = rng.uniform(12, 40)
    white = hsv(0.12, 0.05, 0.85)

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        color = asphalt(uv, footprint) * patches(uv, footprint)
        line = pulse(uv[:, 0] + 0.07, 1e4, 0.14, footprint) * pulse(uv[:, 1], 6.0, 3.0, footprint)
        edge = pulse(np.abs(uv[:, 0]) - road / 2 + 0.35, 1e4, 0.12, footprint)
        zebra = pulse(uv[:, 0], 1.0, 0.5, footprint) * pulse(uv[:, 1] - crossing, 1e4, 3.0, footprint)
        paint = np.clip(line + edge + zebra, 0, 1)[:, None]
        return color + (white - color) * paint * 0.85

    return texture


def _houses(parts: Parts, rng: np.random.Generator, front: float) -> None:
    typical = rng.uniform(6, 18)
    for side in (-1, 1):
        y = rng.uniform(-25, -12)
        while y < 150:
            length = rng.uniform(8, 22)
            if rng.random() < 0.85:
                size = (length, rng.uniform(9, 14), max(3.5, typical * rng.lognormal(0, 0.3)))
                back = front + size[1] / 2 + rng.choice([0.0, rng.uniform(0.5, 4)])
                outdoors.building(Spot(parts, (side * back, y + length / 2, 0), -side * np.pi / 2), rng, size)
            y += length + rng.choice([0.0, rng.uniform(1, 10)], p=[0.6, 0.4])
    if rng.random() < 0.5:
        size = (rng.uniform(20, 40), 12.0, typical * rng.uniform(0.8, 1.8))
        outdoors.building(Spot(parts, (rng.uniform(-5, 5), rng.uniform(90, 160), 0)), rng, size)


def _furnish(parts: Parts, rng: np.random.Generator, road: float, walk: float) -> None:
    """Line the pavements with lamp posts, trees, signs, benches and people."""
    metal = Material(labels.STREETLIGHT, plain(hsv(0.5, 0.1, rng.uniform(0.15, 0.6)), 0.1), gloss=0.4)
    trees, far = (outdoors.trees(rng, 2, 0.1, detail) for detail in (2, 1))
    planted, height = rng.random() < 0.6, rng.uniform(4, 9)
    for side in (-1, 1):
        kerb = side * (road / 2 + 0.6)
        for y in np.arange(rng.uniform(0, 12), 120, rng.uniform(16, 28)):
            outdoors.street_lamp(Spot(parts, (kerb, y, 0.14), np.pi if side > 0 else 0), rng, rng.uniform(5, 7), metal)
        for y in np.arange(rng.uniform(2, 10), 90, rng.uniform(8, 14)):
            if planted and rng.random() < 0.7:
                spot = Spot(parts, (kerb + side * 0.2, y + rng.normal(), 0.14), rng.uniform(0, 6))
                spot.place((trees if y < 45 else far)[rng.integers(2)], height * rng.uniform(0.7, 1.3))
        for _ in range(rng.integers(1, 6)):
            place = (side * (road / 2 + rng.uniform(0.9, walk - 0.4)), rng.uniform(4, 45), 0.14)
            outdoors.person(Spot(parts, place, rng.uniform(0, 6.28)), rng)
        _signs(parts, rng, kerb, side)


def _signs(parts: Parts, rng: np.random.Generator, kerb: float, side: int) -> None:
    metal = Material(labels.POLE, plain(hsv(0.6, 0.03, 0.6), 0.05), gloss=0.5)
    for _ in range(rng.integers(0, 3)):
        y = rng.uniform(6, 50)
        parts.add(cylinder(0.035, 2.6, 8), metal, (kerb, y, 0.14))
        face = Material(labels.SIGNBOARD, plain(random_color(rng, (0.5, 0.9), (0.5, 0.95)), 0.02), gloss=0.3)
        plate = cylinder(0.32, 0.03, 20).turned(np.pi / 2, "x") if rng.random() < 0.5 else box(0.6, 0.03, 0.45)
        parts.add(plate, face, (kerb, y - 0.06, 2.3))
    if rng.random() < 0.4:
        heading = np.pi / 2 if side < 0 else -np.pi / 2
        outdoors.bench(Spot(parts, (kerb + side * 0.9, rng.uniform(5, 25), 0.14), heading), rng)


def _traffic(parts: Parts, rng: np.random.Generator, road: float) -> None:
    """Park cars at the kerbs and let some drive."""
    for side in (-1, 1):
        y = rng.uniform(2, 14)
        crowded = rng.uniform(0.1, 0.9)
        while y < 70:
            if rng.random() < crowded:
                place = (side * (road / 2 - 1.05), y, 0)
                outdoors.car(Spot(parts, place, side * np.pi / 2 + rng.normal(0, 0.02)), rng)
            y += rng.uniform(5.3, 7)
    if road > 7.5:
        for _ in range(rng.integers(0, 4)):
            side = rng.choice([-1, 1])
            outdoors.car(Spot(parts, (side * 1.3, rng.uniform(12, 80), 0), side * np.pi / 2), rng)
