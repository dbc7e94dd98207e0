"""Forests and harbours in fog: what is far fades into gray."""

from __future__ import annotations

import numpy as np

from depth_model.world import labels, outdoors, weather
from depth_model.world.furniture import foliage
from depth_model.world.scene import Camera, Material, Model, Parts, Relief, Scene, Spot, looking, modeled
from depth_model.world.shapes import blob, box, cylinder, extruded, ground, lathe, plane
from depth_model.world.textures import blended, hsv, plain, random_color, stripes, tiled, wood


def build(rng: np.random.Generator) -> Scene:
    """Return a forest or a harbour in fog."""
    parts = Parts(rng)
    forest = rng.random() < 0.5
    (_forest if forest else _harbour)(parts, rng)
    light = weather.fog(rng, reach=3.0, visibility=rng.uniform(25, 90) if forest else rng.uniform(60, 220))
    return Scene(
        **parts.assembled(),
        lights=(light.sun,),
        surroundings=light.surroundings,
        sky=light.sky,
        fog=light.fog,
        view=_forest_view if forest else _harbour_view,
        near=0.7,
        brightness=rng.uniform(0.45, 0.6),
        noise=rng.uniform(0.005, 0.016),
    )


def _forest_view(rng: np.random.Generator) -> Camera:
    place = (rng.uniform(-2, 2), rng.uniform(-3, 3), rng.uniform(1.4, 2.6))
    return looking(
        place, rng.normal(0, 0.3), rng.normal(0.0, 0.08), rng.normal(0, 0.03), np.deg2rad(rng.uniform(45, 80))
    )


def _harbour_view(rng: np.random.Generator) -> Camera:
    place = (rng.uniform(-3, 3), rng.uniform(-3, 1), rng.uniform(2.4, 5.5))
    pitch = rng.normal(-0.06, 0.06)
    return looking(place, rng.normal(0, 0.3), pitch, rng.normal(0, 0.03), np.deg2rad(rng.uniform(45, 78)))


def _forest(parts: Parts, rng: np.random.Generator) -> None:
    """Fill 100 meters with trunks, undergrowth, stones and a path."""
    across, ahead = np.linspace(-70, 70, 36), np.linspace(-8, 130, 40)
    x, y = np.meshgrid(across, ahead)
    waves = rng.uniform(0.03, 0.12, 4)
    bumps = np.sin(x * waves[0] + waves[2] * 50) + np.sin(y * waves[1] + waves[3] * 50)
    heights = 0.5 * bumps * np.clip(np.hypot(x, y) / 15 - 0.3, 0, 1.5)
    soil, moss = hsv(rng.uniform(0.06, 0.1), 0.5, 0.35), hsv(rng.uniform(0.16, 0.3), 0.55, rng.uniform(0.3, 0.5))
    cover = Material(labels.EARTH, blended(soil, moss, 6.0, contrast=3), relief=Relief("grain", 1.5, 0.1))
    parts.add(ground(heights, across, ahead), cover, aligned=True)

    def at(x: float, y: float, sunk: float) -> Spot:
        row, column = np.searchsorted(ahead, y) - 1, np.searchsorted(across, x) - 1
        return Spot(parts, (x, y, heights[row : row + 2, column : column + 2].min() - sunk), rng.uniform(0, 6.28))

    trees = outdoors.trees(rng, 2, 1.0) + [_tall_tree(rng) for _ in range(3)]
    conifers, path = rng.choice([0.0, 0.4, 1.0]), rng.uniform(1.2, 2.5)
    for _ in range(rng.integers(60, 120)):
        x, y = rng.normal(0, 16), rng.uniform(3, 85)
        if abs(x - 2.5 * np.sin(y / 14)) > path and abs(x) < 65:
            tree = trees[rng.integers(2)] if rng.random() < conifers else trees[2 + rng.integers(3)]
            at(x, y, 0.1).place(tree, rng.uniform(9, 20))
    fern, stone = foliage(rng, labels.PLANT), outdoors.rock_material(rng)
    for _ in range(rng.integers(15, 40)):
        x, y = rng.normal(0, 7), rng.uniform(2.5, 35)
        if rng.random() < 0.7:
            outdoors.bush(at(x, y, 0.05), rng, rng.uniform(0.2, 0.8), fern)
        else:
            at(x, y, 0.1).add(blob(rng.lognormal(-1.2, 0.5), rng, 0.35).scaled((1.2, 1, 0.7)), stone)


def _tall_tree(rng: np.random.Generator) -> Model:
    """Return a tree of height 1: a bare trunk with branches and a crown high above."""
    parts = Parts(rng)
    spot, leaf, trunk = Spot(parts, (0, 0, 0)), foliage(rng, labels.TREE), outdoors.bark(rng)
    width = rng.uniform(0.009, 0.018)
    spot.add(cylinder(width * 1.5, 0.04, 10, width), trunk)
    spot.add(cylinder(width, 1.0, 10, width * 0.45).turned(rng.normal(0, 0.03), "x"), trunk)
    for _ in range(rng.integers(3, 8)):
        branch = cylinder(width * 0.3, rng.uniform(0.06, 0.16), 6, width * 0.1).turned(rng.uniform(0.8, 1.4), "x")
        spot.add(branch, trunk, (0, 0, rng.uniform(0.3, 0.85)), rng.uniform(0, 6.28))
    for _ in range(rng.integers(3, 7)):
        clump = outdoors.ragged(blob(rng.uniform(0.05, 0.12), rng, 0.4), rng, 0.008)
        spot.add(clump, leaf, (*rng.normal(0, 0.07, 2), rng.uniform(0.65, 1.0)))
    return modeled(parts)


def _harbour(parts: Parts, rng: np.random.Generator) -> None:
    """Add water, a quay with sheds, piers, boats, bollards and barrels."""
    water = Material(
        labels.WATER,
        blended(hsv(0.5, 0.3, 0.3), hsv(0.45, 0.3, 0.4), 12.0),
        gloss=0.6,
        mirror=0.05,
        relief=Relief("cloud", rng.uniform(2, 5), rng.uniform(0.01, 0.04)),
    )
    parts.add(plane((-250, 250), (-40, 400), 0.0), water)
    side = rng.choice([-1, 1])
    _quay(parts, rng, side)
    _pier(parts, rng, -side)
    for _ in range(rng.integers(3, 9)):
        place = (rng.uniform(-22, 22), rng.uniform(9, 75), 0.0)
        if side * place[0] < 5.0:
            _boat(Spot(parts, place, rng.uniform(0, 6.28)), rng)
    for _ in range(rng.integers(0, 3)):
        size = (rng.uniform(30, 80), 15.0, rng.uniform(6, 20))
        outdoors.building(Spot(parts, (rng.uniform(-70, 70), rng.uniform(90, 180), 0.3)), rng, size)


def _quay(parts: Parts, rng: np.random.Generator, side: int) -> None:
    stone = random_color(rng, (0.03, 0.2), (0.4, 0.7), (0.03, 0.14))
    blocks = Material(labels.SIDEWALK, tiled(plain(stone, 0.25, 2.0), stone * 0.4, (1.2, 0.6), 0.03, 0.5, 0.15))
    edge = rng.uniform(5.5, 8)
    parts.add(box(60, 330, 3.4), blocks, (side * (edge + 30), 130, -2.0))
    iron = Material(labels.POLE, plain(hsv(0.05, 0.4, 0.3), 0.3, 0.5, "grain"))
    profile = [(0, 0), (0.22, 0), (0.16, 0.4), (0.26, 0.5), (0.2, 0.6), (0, 0.6)]
    for y in np.arange(rng.uniform(3, 8), 90, rng.uniform(6, 10)):
        parts.add(lathe(profile, 12), iron, (side * (edge + 0.7), y, 1.4))
    y = rng.uniform(-5, 8)
    while y < 110:
        size = (rng.uniform(10, 25), rng.uniform(8, 12), rng.uniform(4, 10))
        spot = Spot(parts, (side * (edge + rng.uniform(5, 8) + size[1] / 2), y + size[0] / 2, 1.4), -side * np.pi / 2)
        outdoors.building(spot, rng, size)
        y += size[0] + rng.uniform(2, 12)
    metal = Material(labels.STREETLIGHT, plain(hsv(0.5, 0.1, 0.3), 0.1))
    for y in np.arange(rng.uniform(4, 12), 90, rng.uniform(14, 22)):
        outdoors.street_lamp(Spot(parts, (side * (edge + 1.6), y, 1.4), np.pi / 2), rng, 5.5, metal)
    _cargo(parts, rng, side, edge)


def _cargo(parts: Parts, rng: np.random.Generator, side: int, edge: float) -> None:
    paint = [Material(labels.BARREL, plain(random_color(rng, (0.3, 0.8), (0.2, 0.7)), 0.3)) for _ in range(3)]
    crate = Material(
        labels.BOX, tiled(wood(hsv(0.09, 0.4, 0.6), hsv(0.08, 0.5, 0.4)), hsv(0.08, 0.5, 0.15), (2, 0.15), 0.02)
    )
    for _ in range(rng.integers(4, 14)):
        place = (side * (edge + rng.uniform(1, 4.5)), rng.uniform(4, 45), 1.4)
        if rng.random() < 0.5:
            parts.add(cylinder(0.3, 0.9, 14), paint[rng.integers(3)], place)
        else:
            parts.add(box(*rng.uniform(0.6, 1.4, 3)), crate, place, rng.uniform(0, 3))
    for _ in range(rng.integers(0, 4)):
        spot = Spot(parts, (side * (edge + rng.uniform(1, 4)), rng.uniform(5, 35), 1.4), rng.uniform(0, 6))
        outdoors.person(spot, rng)


def _pier(parts: Parts, rng: np.random.Generator, side: int) -> None:
    planks = tiled(wood(hsv(0.08, 0.3, 0.5), hsv(0.07, 0.35, 0.35)), hsv(0.08, 0.3, 0.1), (0.18, 40.0), 0.025, 0, 0.2)
    deck, post = Material(labels.PIER, planks), Material(labels.PIER, wood(hsv(0.08, 0.3, 0.4), hsv(0.07, 0.4, 0.25)))
    width, length = rng.uniform(1.8, 3), rng.uniform(15, 45)
    x, start = side * rng.uniform(4, 9), rng.uniform(4, 10)
    parts.add(box(length, width, 0.12).turned(np.pi / 2), deck, (x, start + length / 2, 0.9), aligned=True)
    for y in np.arange(start, start + length, 3.0):
        for shift in (-1, 1):
            parts.add(cylinder(0.13, 3.2, 8), post, (x + shift * width / 2, y, -1.5))


def _boat(spot: Spot, rng: np.random.Generator) -> None:
    """Add a boat along x: a hull with a cabin or a mast."""
    length, width = rng.uniform(4, 12), rng.uniform(1.6, 3)
    high = 0.12 * length + 0.3
    first, second = random_color(rng, (0.1, 0.8), (0.2, 0.9)), random_color(rng, (0, 0.4), (0.5, 0.95))
    hull = Material(labels.BOAT, stripes(first, second, high * 0.8, 0.6, axis=0), gloss=0.4)
    half = length / 2
    outline = [(-half * 0.92, -0.3), (half * 0.75, -0.3), (half, high), (-half, high * 0.8)]
    spot.add(extruded(outline, width), hull)
    white = Material(labels.BOAT, plain(second, 0.08), gloss=0.3)
    glass = Material(labels.BOAT, plain(hsv(0.55, 0.2, 0.15), 0.02), gloss=1.0)
    cabin = (length * rng.uniform(0.2, 0.4), width * 0.65, rng.uniform(0.9, 1.8))
    if rng.random() < 0.7:
        spot.add(box(*cabin), white, (-half * 0.2, 0, high * 0.8))
        spot.add(
            box(cabin[0] * 1.01, cabin[1] * 1.02, cabin[2] * 0.3), glass, (-half * 0.2, 0, high * 0.8 + cabin[2] * 0.55)
        )
    if rng.random() < 0.6:
        spot.add(cylinder(0.06, length * rng.uniform(0.7, 1.2), 8), white, (half * 0.1, 0, high * 0.8))
        spot.add(cylinder(0.04, length * 0.4, 8).turned(-np.pi / 2, "y"), white, (half * 0.1, 0, high * 0.8 + 1.2))
