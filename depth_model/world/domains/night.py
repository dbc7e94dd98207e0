"""Yards and lanes at night: houses with lit windows, lamp posts, fences, trees; dark pictures with pools of light."""

from __future__ import annotations

import numpy as np

from depth_model.world import labels, outdoors, weather
from depth_model.world.furniture import foliage
from depth_model.world.scene import Camera, Lamp, Material, Parts, Relief, Scene, Spot, looking
from depth_model.world.shapes import box, cylinder, plane
from depth_model.world.textures import blended, hsv, plain, random_color, tiled


def build(rng: np.random.Generator) -> Scene:
    """Return a yard or lane that leads away along y."""
    parts = Parts(rng)
    lane = rng.uniform(3.5, 9)
    _ground(parts, rng, lane)
    _houses(parts, rng, lane)
    lamps = _lamps(parts, rng, lane)
    _clutter(parts, rng, lane)
    light = weather.moonlit(rng, reach=3.0)
    nearest = sorted(lamps, key=lambda lamp: float(np.hypot(*(lamp.position[:2] - (0, 6)))))[:6]
    return Scene(
        **parts.assembled(),
        lights=(light.sun, *nearest),
        surroundings=light.surroundings,
        sky=light.sky,
        fog=light.fog,
        view=lambda chance: _view(chance, lane),
        near=0.9,
        brightness=rng.uniform(0.13, 0.22),
        noise=rng.uniform(0.015, 0.04),
    )


def _view(rng: np.random.Generator, lane: float) -> Camera:
    x, y = rng.uniform(-0.45, 0.45) * lane, rng.uniform(-4, 3)
    eye, heading = rng.uniform(1.1, 2.6), rng.normal(0, 0.28)
    return looking((x, y, eye), heading, rng.normal(-0.03, 0.07), rng.normal(0, 0.03), np.deg2rad(rng.uniform(50, 85)))


def _ground(parts: Parts, rng: np.random.Generator, lane: float) -> None:
    stone = random_color(rng, (0.02, 0.2), (0.3, 0.6), (0.0, 0.15))
    wet = rng.choice([0.0, 0.04, 0.08])
    kinds = [
        (labels.ROAD, tiled(plain(stone, 0.3, 1.0), stone * 0.3, (0.22, 0.16), 0.02, 0.5, 0.3)),
        (labels.ROAD, blended(stone * 0.5, stone * 0.8, 4.0, "grain", 2)),
        (labels.EARTH, blended(hsv(0.08, 0.4, 0.45), hsv(0.1, 0.3, 0.6), 5.0, "cloud", 3)),
    ]
    label, texture = kinds[rng.integers(3)]
    surface = Material(label, texture, gloss=0.5 if wet else 0.0, mirror=wet, relief=Relief("grain", 0.8, 0.006))
    parts.add(plane((-lane / 2, lane / 2), (-30, 120)), surface)
    lawn = Material(
        labels.GRASS,
        blended(hsv(0.27, 0.6, 0.3), hsv(0.2, 0.5, 0.5), 3.0, "grain", 2),
        relief=Relief("grain", 1.0, 0.05),
    )
    for side in (-1, 1):
        parts.add(plane(tuple(sorted((side * lane / 2, side * 90))), (-30, 120)), lawn, (0, 0, -0.02))
        kerb = Material(labels.SIDEWALK, plain(stone * 1.3, 0.2))
        parts.add(box(0.2, 150, 0.12), kerb, (side * lane / 2, 45, 0))


def _houses(parts: Parts, rng: np.random.Generator, lane: float) -> None:
    for side in (-1, 1):
        y = rng.uniform(-8, 4)
        while y < 90:
            spot = Spot(parts, (side * (lane / 2 + rng.uniform(7, 11)), y, 0), -side * np.pi / 2 + rng.normal(0, 0.08))
            if rng.random() < 0.6:
                outdoors.house(spot, rng, lit=rng.uniform(0.2, 0.7))
            elif rng.random() < 0.7:
                size = (rng.uniform(9, 16), rng.uniform(8, 10), rng.uniform(6, 16))
                outdoors.building(spot, rng, size, lit=rng.uniform(0.15, 0.6))
            y += rng.uniform(12, 20)
    if rng.random() < 0.6:
        spot = Spot(parts, (rng.uniform(-4, 4), rng.uniform(35, 80), 0), rng.normal(0, 0.2))
        outdoors.building(spot, rng, (rng.uniform(14, 24), 10.0, rng.uniform(6, 14)), lit=rng.uniform(0.2, 0.6))


def _lamps(parts: Parts, rng: np.random.Generator, lane: float) -> list[Lamp]:
    """Add lamp posts along one or both sides and lamps on posts by the gates."""
    lamps = []
    metal = Material(labels.STREETLIGHT, plain(hsv(0.5, 0.1, 0.35), 0.1), gloss=0.4)
    glow = hsv(rng.choice([0.08, 0.11, 0.55]), rng.uniform(0.1, 0.65), 1.0) * rng.uniform(4, 9)
    height = rng.uniform(3.2, 5.5)
    sides = [(-1,), (1,), (-1, 1)][rng.integers(3)]
    for y in np.arange(rng.uniform(3, 9), 70, rng.uniform(11, 20)):
        for side in sides:
            if rng.random() < 0.85:
                spot = Spot(parts, (side * (lane / 2 + 0.3), y + rng.normal(), 0), np.pi if side > 0 else 0.0)
                lamps += outdoors.street_lamp(spot, rng, height * rng.uniform(0.95, 1.05), metal, glow)
    for _ in range(rng.integers(0, 4)):
        x, y = rng.choice([-1, 1]) * (lane / 2 + rng.uniform(0.6, 2)), rng.uniform(4, 22)
        warm = hsv(0.09, 0.5, 1.0) * rng.uniform(0.3, 1.0)
        parts.add(cylinder(0.05, 1.1, 8), metal, (x, y, 0))
        glass = Material(labels.LAMP, plain(warm, 0), emission=plain(warm * 8, 0))
        parts.add(cylinder(0.09, 0.2, 10), glass, (x, y, 1.1))
        lamps.append(Lamp(np.array([x, y, 1.2]), warm, 0.14))
    return lamps


def _clutter(parts: Parts, rng: np.random.Generator, lane: float) -> None:
    """Add fences, hedges, trees, parked cars, barrels, benches and late walkers."""
    trees, leaf = outdoors.trees(rng, 3, 0.3), foliage(rng, labels.TREE)
    wood = Material(labels.BARREL, plain(hsv(0.07, 0.5, 0.4), 0.3, 0.5, "grain"))
    for side in (-1, 1):
        edge = side * (lane / 2 + 1.2)
        for y in np.arange(rng.uniform(0, 6), 40, 4.2):
            if rng.random() < 0.5:
                outdoors.fence(Spot(parts, (edge, y, 0), np.pi / 2), rng, 4.0)
            elif rng.random() < 0.5:
                outdoors.bush(Spot(parts, (edge, y, 0)), rng, rng.uniform(0.6, 1.3), leaf)
        for _ in range(rng.integers(1, 5)):
            place = (side * (lane / 2 + rng.uniform(2, 5)), rng.uniform(5, 50), 0)
            Spot(parts, place, rng.uniform(0, 6.28)).place(trees[rng.integers(3)], rng.uniform(4, 9))
        if lane > 5 and rng.random() < 0.7:
            place = (side * (lane / 2 - 1.1), rng.uniform(5, 25), 0)
            outdoors.car(Spot(parts, place, side * np.pi / 2), rng)
    for _ in range(rng.integers(0, 5)):
        x, y = rng.choice([-1, 1]) * lane * rng.uniform(0.3, 0.48), rng.uniform(3.5, 20)
        parts.add(cylinder(0.3, rng.uniform(0.6, 0.95), 14), wood, (x, y, 0))
    for _ in range(rng.integers(0, 3)):
        outdoors.person(Spot(parts, (rng.uniform(-0.4, 0.4) * lane, rng.uniform(4, 22), 0), rng.uniform(0, 6)), rng)
