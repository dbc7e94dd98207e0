"""Small things on a table, seen from 20 to 90 centimeters, with a wall or a room behind."""

from __future__ import annotations

import numpy as np

from depth_model.world import furniture, labels
from depth_model.world.scene import Camera, Lamp, Material, Parts, Relief, Scene, Spot, Surroundings, looking
from depth_model.world.shapes import box, cylinder, lathe, plane, sphere
from depth_model.world.textures import (
    blended,
    checker,
    hsv,
    marble,
    picture,
    plain,
    random_color,
    stripes,
    tiled,
    wood,
)


def build(rng: np.random.Generator) -> Scene:
    """Return a table top with 5 to 14 things on it; its middle is the origin."""
    parts = Parts(rng)
    size = (rng.uniform(0.9, 1.6), rng.uniform(0.6, 0.9))
    parts.add(box(*size, 0.03), _top(rng), (0, 0, -0.03))
    _cover(parts, rng)
    _place_things(parts, rng, size)
    wall = size[1] / 2 + rng.choice([0.02, rng.uniform(0.3, 2.5)])
    _background(parts, rng, wall)
    color = hsv(rng.uniform(0.05, 0.15), rng.uniform(0, 0.35), 1.0)
    place = np.array([rng.uniform(-1.2, 1.2), rng.uniform(-1.2, 0.3), rng.uniform(0.6, 1.6)])
    second = hsv(rng.uniform(0.5, 0.65), rng.uniform(0, 0.3), 1.0) * rng.uniform(0, 0.8)
    opposite = place * np.array([-1, 1, 1.2])
    around = color * rng.uniform(0.2, 0.5)
    return Scene(
        **parts.assembled(),
        lights=(Lamp(place, color * 2.2, rng.uniform(0.03, 0.25)), Lamp(opposite, second, 0.3)),
        surroundings=Surroundings(around, around * 0.7, rng.uniform(0.12, 0.3)),
        view=lambda chance: _view(chance, wall),
        near=0.12,
        brightness=rng.uniform(0.36, 0.5),
        noise=rng.uniform(0.004, 0.016),
    )


def _view(rng: np.random.Generator, wall: float) -> Camera:
    distance, bearing = rng.uniform(0.3, 0.85), rng.normal(0, 0.5)
    target = np.array([rng.normal(0, 0.06), rng.normal(0, 0.05), rng.uniform(0.0, 0.1)])
    elevation = np.deg2rad(rng.uniform(8, 50))
    flat = np.cos(elevation) * distance
    eye = target + np.array([np.sin(bearing) * flat, -np.cos(bearing) * flat, np.sin(elevation) * distance])
    return looking(eye, bearing, -elevation, rng.normal(0, 0.06), np.deg2rad(rng.uniform(35, 68)))


def _top(rng: np.random.Generator) -> Material:
    first, second = random_color(rng, (0.05, 0.6), (0.35, 0.9)), random_color(rng, (0.05, 0.6), (0.3, 0.9))
    value = rng.uniform(0.35, 0.8)
    light, dark = hsv(rng.uniform(0.06, 0.1), 0.5, value), hsv(0.07, 0.6, value * 0.65)
    kinds = [
        wood(light, dark, size=0.2),
        tiled(wood(light, dark, size=0.15), dark * 0.3, (1.0, rng.uniform(0.07, 0.14)), 0.002, 0.4),
        marble(first, second, 0.6),
        checker(first, second, rng.uniform(0.02, 0.06)),
        tiled(plain(first, 0.1), second, (0.1, 0.1), 0.004, 0, 0.15),
        stripes(first, second, rng.uniform(0.015, 0.06), rng.uniform(0.2, 0.8)),
    ]
    kind = rng.choice(6, p=[0.3, 0.2, 0.15, 0.12, 0.11, 0.12])
    return Material(labels.TABLE, kinds[kind], gloss=rng.uniform(0, 0.5), mirror=rng.choice([0.0, 0.03]))


def _cover(parts: Parts, rng: np.random.Generator) -> None:
    if rng.random() < 0.45:
        mat = furniture.cloth(rng, labels.RUG)
        size = rng.uniform(0.25, 0.5, 2)
        parts.add(box(*size, 0.003), mat, (*rng.normal(0, 0.08, 2), 0), rng.uniform(-0.5, 0.5))


def _background(parts: Parts, rng: np.random.Generator, wall: float) -> None:
    first, second = random_color(rng, (0.03, 0.6), (0.3, 0.9)), random_color(rng, (0.03, 0.6), (0.3, 0.9))
    kinds = [
        plain(first, 0.1, 2.0),
        stripes(first, second, rng.uniform(0.03, 0.2)),
        tiled(plain(first, 0.1), second, (0.15, 0.1), 0.005, rng.choice([0, 0.5]), 0.12),
        blended(first, second, 0.8, "cells", 3),
        picture(np.array([random_color(rng) for _ in range(4)]), 2.5, rng.random()),
    ]
    paper = Material(labels.WALL, kinds[rng.integers(5)], relief=Relief("grain", 0.5, 0.003))
    parts.add(box(8, 0.1, 4), paper, (0, wall + 0.05, -1.2), rng.normal(0, 0.05))
    floor = Material(
        labels.FLOOR, tiled(wood(hsv(0.07, 0.4, 0.6), hsv(0.06, 0.5, 0.4)), second * 0.2, (1, 0.1), 0.004, 0.3)
    )
    parts.add(plane((-4, 4), (-3, wall)), floor, (0, 0, -0.75))
    _enclose(parts, rng, wall)
    if wall > 1.0:
        for _ in range(rng.integers(1, 4)):
            x = rng.uniform(-1.2, 1.2)
            furniture.cabinet(Spot(parts, (x, wall - 0.33, -0.75)), rng, rng.uniform(0.5, 1.2), rng.uniform(0.5, 1.8))


def _enclose(parts: Parts, rng: np.random.Generator, wall: float) -> None:
    """Close the room at the sides, behind the camera and above, so that no ray leaves it."""
    paint = Material(labels.WALL, plain(random_color(rng, (0.02, 0.3), (0.5, 0.9)), 0.05))
    for side in (-1, 1):
        parts.add(box(0.1, 8, 4), paint, (side * 2.6, 0, -1.2))
    parts.add(box(8, 0.1, 4), paint, (0, -3, -1.2))
    white = Material(labels.CEILING, plain(hsv(0.1, 0.03, 0.9), 0.03))
    parts.add(box(8, 12, 0.1), white, (0, 0, rng.uniform(1.7, 2.2)))


def _place_things(parts: Parts, rng: np.random.Generator, size: tuple[float, float]) -> None:
    """Put things where there is room, the tall ones rather to the back."""
    taken: list[tuple[float, float, float]] = []
    wanted, tried = rng.integers(6, 15), 0
    while len(taken) < wanted and tried < 120:
        tried += 1
        radius = rng.choice([0.03, 0.045, 0.06, 0.09])
        x, y = rng.normal(0, 0.17), rng.normal(0.03, 0.14)
        inside = abs(x) < size[0] / 2 - radius and abs(y) < size[1] / 2 - radius
        if not inside or any(np.hypot(x - a, y - b) < (radius + other) * 1.05 for a, b, other in taken):
            continue
        taken.append((x, y, radius))
        _thing(Spot(parts, (x, y, 0.004), rng.uniform(0, 6.28)), rng, radius)


def _thing(spot: Spot, rng: np.random.Generator, radius: float) -> None:
    """Put one thing that fits into a circle of `radius` meters."""
    kind = rng.choice(7, p=[0.25, 0.2, 0.15, 0.12, 0.1, 0.1, 0.08])
    if kind == 0:
        furniture.vessel(spot, rng, radius * rng.uniform(1.9, 2.4))
    elif kind == 1:
        furniture.fruit(spot, rng, min(radius, 0.05) * 0.9)
    elif kind == 2:
        furniture.box_of_goods(
            spot, rng, (radius * 1.3, radius * rng.uniform(0.5, 1.3), radius * rng.uniform(0.6, 3.5))
        )
    elif kind == 3:
        _can(spot, rng, min(radius, 0.045))
    elif kind == 4:
        _ball(spot, rng, min(radius, 0.06) * 0.8)
    elif kind == 5 and radius > 0.05:
        furniture.potted_plant(spot, rng, radius * rng.uniform(3, 4))
    else:
        _figure(spot, rng, radius)


def _can(spot: Spot, rng: np.random.Generator, radius: float) -> None:
    height = radius * rng.uniform(1.6, 3.2)
    colors = np.array([random_color(rng, (0.3, 0.95), (0.3, 0.95)) for _ in range(4)])
    print_ = Material(labels.BOX, picture(colors, 0.2, rng.random()), gloss=0.6, mirror=0.03)
    metal = Material(labels.BOX, plain(hsv(0.6, 0.02, 0.75), 0.03), gloss=1.0, mirror=0.3)
    rim = radius * 0.94
    spot.add(cylinder(radius, height, 28), print_, (0, 0, radius * 0.05))
    spot.add(
        lathe(
            [
                (0, 0),
                (rim, 0),
                (rim, height + radius * 0.1),
                (rim * 0.93, height + radius * 0.1),
                (rim * 0.93, height + radius * 0.07),
                (0, height + radius * 0.07),
            ],
            28,
        ),
        metal,
    )


def _ball(spot: Spot, rng: np.random.Generator, radius: float) -> None:
    first, second = random_color(rng, (0.3, 0.9), (0.4, 0.95)), random_color(rng, (0.0, 0.9), (0.4, 0.95))
    skin = stripes(first, second, radius * rng.uniform(0.4, 1.0), 0.5, rng.integers(2))
    ball = sphere(radius, 28).turned(rng.uniform(0, 3), "x").turned(rng.uniform(0, 3))
    spot.add(ball, Material(labels.BALL, skin, gloss=rng.uniform(0.2, 0.9)), (0, 0, radius))


def _figure(spot: Spot, rng: np.random.Generator, radius: float) -> None:
    """Add a turned figure: a chess piece, candlestick or pepper mill."""
    levels = np.cumsum(rng.uniform(0.25, 0.7, 6)) * radius
    radii = rng.uniform(0.2, 0.7, 6) * radius
    profile = [(0.0, 0.0), (radius * 0.75, 0.0), *zip(radii, levels), (0.0, levels[-1] + radius * 0.3)]
    material = (
        furniture.timber(rng, labels.SCULPTURE) if rng.random() < 0.5 else furniture.painted(rng, labels.SCULPTURE)
    )
    spot.add(lathe(profile, 24, smooth=True), material)
