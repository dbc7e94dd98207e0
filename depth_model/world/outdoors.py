"""What stands in streets, gardens and fields: each function adds one object of random make to a scene."""

from __future__ import annotations

import numpy as np

from depth_model.world import labels
from depth_model.world.furniture import foliage
from depth_model.world.scene import Lamp, Material, Model, Parts, Relief, Spot, modeled
from depth_model.world.shapes import Mesh, blob, box, cylinder, extruded, lathe, sphere
from depth_model.world.textures import Texture, blended, hsv, lit_windows, plain, random_color, tiled, windows, wood


def bark(rng: np.random.Generator) -> Material:
    """Return the bark of a trunk."""
    value = rng.uniform(0.2, 0.5)
    dark, light = hsv(0.07, 0.4, value), hsv(0.08, 0.25, value * 1.5)
    return Material(labels.TREE, blended(dark, light, 0.5, "grain", 3), relief=Relief("cells", 0.7, 0.05))


def trees(rng: np.random.Generator, count: int, conifers: float, detail: int = 2) -> list[Model]:
    """Return `count` trees of height 1, each a fir with probability `conifers`, to be placed at any size.

    `detail` 1 is for trees that are seen from afar: a third of the triangles.
    """
    makers = [_conifer if rng.random() < conifers else _broadleaf for _ in range(count)]
    models = []
    for make in makers:
        parts = Parts(rng)
        make(Spot(parts, (0, 0, 0)), rng, detail, foliage(rng, labels.TREE), bark(rng))
        models.append(modeled(parts))
    return models


def _broadleaf(spot: Spot, rng: np.random.Generator, detail: int, leaf: Material, trunk: Material) -> None:
    """Add a tree with a crown of several clumps."""
    stem, width = rng.uniform(0.25, 0.45), rng.uniform(0.02, 0.035)
    spot.add(cylinder(width, stem * 1.5, 8, width * 0.6), trunk)
    crown = (1 - stem) / 2
    spot.add(_clump(crown * 0.75, rng, detail), leaf, (0, 0, stem + crown))
    for _ in range(rng.integers(5, 9)):
        direction = rng.normal(size=3)
        place = direction / np.linalg.norm(direction) * crown * rng.uniform(0.45, 0.8)
        spot.add(_clump(crown * rng.uniform(0.3, 0.5), rng, detail), leaf, place + np.array([0, 0, stem + crown]))


def _clump(radius: float, rng: np.random.Generator, detail: int) -> Mesh:
    return ragged(blob(radius, rng, 0.35, detail), rng, radius * 0.09)


def _conifer(spot: Spot, rng: np.random.Generator, detail: int, leaf: Material, trunk: Material) -> None:
    """Add a fir of several ragged tiers."""
    radius, tiers = rng.uniform(0.16, 0.26), rng.integers(6, 11) if detail > 1 else 4
    spot.add(cylinder(0.018, 0.5, 6), trunk)
    for k in range(tiers):
        low, high = 0.12 + 0.82 * k / tiers, min(0.12 + 0.82 * (k + 1.9) / tiers, 1.0)
        spread = radius * (1 - low) * rng.uniform(0.85, 1.15)
        cone = ragged(cylinder(spread, high - low, 13, spread * 0.06), rng, spread * 0.22)
        spot.add(cone, leaf, (0, 0, low), rng.uniform(0, 6))


def ragged(mesh: Mesh, rng: np.random.Generator, amount: float) -> Mesh:
    """Return `mesh` with each corner moved by up to `amount`; corners that coincide stay together."""
    key = np.round(mesh.corners.reshape(-1, 3), 6)
    distinct, which = np.unique(key, axis=0, return_inverse=True)
    moved = distinct + rng.uniform(-amount, amount, distinct.shape)
    corners = moved[which.ravel()].reshape(mesh.corners.shape)
    return Mesh(corners, mesh.normals, mesh.uv)


def bush(spot: Spot, rng: np.random.Generator, size: float, leaf: Material) -> None:
    """Add a low shrub."""
    for _ in range(rng.integers(2, 5)):
        place = (*rng.normal(0, 0.35 * size, 2), size * rng.uniform(0.2, 0.4))
        spot.add(blob(size * rng.uniform(0.35, 0.6), rng, 0.4, 2 if size > 0.7 else 1), leaf, place)


def rock_material(rng: np.random.Generator) -> Material:
    """Return weathered stone."""
    base = random_color(rng, (0.03, 0.25), (0.35, 0.65), (0.02, 0.14))
    return Material(labels.ROCK, blended(base, base * 0.45, 2.0, contrast=3), relief=Relief("cloud", 1.5, 0.12))


def car(spot: Spot, rng: np.random.Generator) -> None:
    """Add a car along x, its front toward +x: hatchback, saloon or van."""
    paint = random_color(rng, (0.0, 0.85), (0.1, 0.95))
    body = Material(labels.CAR, plain(paint, 0.03, 3.0), gloss=0.9, mirror=0.05)
    glass = Material(labels.CAR, plain(hsv(0.55, 0.2, 0.12), 0.02), gloss=1.0, mirror=0.09)
    tyre = Material(labels.CAR, plain(hsv(0.6, 0.05, 0.14), 0.1))
    rim = Material(labels.CAR, plain(hsv(0.6, 0.03, 0.65), 0.05), gloss=0.8)
    length, width = rng.uniform(3.8, 4.8), rng.uniform(1.68, 1.85)
    half, waist = length / 2, rng.uniform(0.82, 0.95)
    spot.add(extruded(_car_outline(half, waist), width), body)
    roof = _cabin_outline(rng, half, waist)
    spot.add(extruded(roof, width * 0.86), body)
    middle, top = np.mean([x for x, _ in roof]), max(z for _, z in roof)
    panes = [(0.985 * x + 0.015 * middle, min(z, top - 0.07)) for x, z in roof]
    spot.add(extruded(panes, width * 0.875), glass)
    for x in (-half * 0.62, half * 0.62):
        for side in (-1, 1):
            wheel = cylinder(0.32, 0.22, 14).turned(np.pi / 2, "x")
            spot.add(wheel, tyre, (x, side * (width / 2 - 0.1) + 0.11, 0.32))
            hub = cylinder(0.19, 0.24, 10).turned(np.pi / 2, "x")
            spot.add(hub, rim, (x, side * (width / 2 - 0.1) + 0.12, 0.32))
    _car_lights(spot, half, width)


def _car_outline(half: float, waist: float) -> list[tuple[float, float]]:
    return [
        (-half, 0.3),
        (half, 0.3),
        (half + 0.04, 0.55),
        (half - 0.1, 0.72),
        (half * 0.5, waist),
        (-half * 0.9, waist),
        (-half, 0.75),
    ]


def _cabin_outline(rng: np.random.Generator, half: float, waist: float) -> list[tuple[float, float]]:
    low, top = waist - 0.05, waist + rng.uniform(0.5, 0.75)
    front, back = half * rng.uniform(0.42, 0.55), -half * rng.uniform(0.55, 0.97)
    return [(back, low), (front, low), (front - rng.uniform(0.35, 0.6), top), (back + rng.uniform(0.1, 0.4), top)]


def _car_lights(spot: Spot, half: float, width: float) -> None:
    white = Material(labels.CAR, plain(hsv(0.15, 0.05, 0.95), 0), gloss=1.0)
    red = Material(labels.CAR, plain(hsv(0.0, 0.9, 0.6), 0), gloss=1.0)
    for side in (-1, 1):
        y = side * (width / 2 - 0.22)
        spot.add(box(0.1, 0.3, 0.13), white, (half - 0.04, y, 0.56))
        spot.add(box(0.1, 0.26, 0.13), red, (-half + 0.04, y, 0.6))


def street_lamp(
    spot: Spot, rng: np.random.Generator, height: float, metal: Material, glow: np.ndarray | None = None
) -> list[Lamp]:
    """Add a lamp post whose arm reaches along +x; with `glow` (linear RGB at one meter) it is lit and returned."""
    reach = rng.uniform(0.6, 1.6)
    spot.add(cylinder(0.09, height, 8, 0.05), metal)
    spot.add(box(reach, 0.06, 0.06), metal, (reach / 2, 0, height - 0.1))
    spot.add(box(0.6, 0.22, 0.1), metal, (reach, 0, height - 0.08))
    lens = plain(hsv(0.1, 0.1, 0.8), 0)
    light = None if glow is None else plain(glow / max(glow.max(), 1e-6) * 12, 0)
    spot.add(box(0.5, 0.18, 0.05), Material(labels.STREETLIGHT, lens, emission=light), (reach, 0, height - 0.12))
    if glow is None:
        return []
    return [Lamp(spot.world((reach, 0, height - 0.3)), glow, 0.15)]


def person(spot: Spot, rng: np.random.Generator) -> None:
    """Add a standing or walking person."""
    height = rng.uniform(1.55, 1.88)
    skin = Material(labels.PERSON, plain(hsv(0.07, rng.uniform(0.3, 0.55), rng.uniform(0.35, 0.9)), 0.05))
    hair = Material(labels.PERSON, plain(hsv(0.08, 0.4, rng.uniform(0.08, 0.5)), 0.2, 0.2, "grain"))
    coat = Material(labels.PERSON, plain(random_color(rng, (0.1, 0.8), (0.15, 0.8)), 0.2))
    trousers = Material(labels.PERSON, plain(random_color(rng, (0.05, 0.5), (0.1, 0.5)), 0.2))
    stride = rng.uniform(0, 0.35)
    scale = height / 1.75
    for side in (-1, 1):
        leg = cylinder(0.075 * scale, 0.85 * scale, 8, 0.1 * scale).turned(side * stride, "x")
        spot.add(leg, trousers, (side * 0.09 * scale, side * np.sin(stride) * 0.85 * scale, 0))
        arm = cylinder(0.045 * scale, 0.62 * scale, 7, 0.065 * scale).turned(side * -stride * 0.8, "x")
        spot.add(arm, coat, (side * 0.25 * scale, -side * np.sin(stride * 0.8) * 0.6 * scale, 0.82 * scale))
    body = [(0, 0), (0.17, 0), (0.16, 0.2), (0.21, 0.5), (0.08, 0.62), (0, 0.62)]
    torso = lathe([(r * scale, z * scale) for r, z in body], 12, smooth=True).scaled((1.1, 0.75, 1))
    spot.add(torso, coat, (0, 0, 0.8 * scale))
    spot.add(sphere(0.11 * scale, 12), skin, (0, 0, 1.56 * scale))
    spot.add(sphere(0.118 * scale, 12), hair, (0, 0.02 * scale, 1.585 * scale))


def masonry(rng: np.random.Generator) -> Texture:
    """Return the wall of a building: plaster, brick, panels or stone."""
    base = random_color(rng, (0.03, 0.4), (0.45, 0.9), (0.0, 0.17))
    brick = random_color(rng, (0.3, 0.6), (0.35, 0.65), (0.0, 0.07))
    kinds = [
        plain(base, 0.12, 6.0),
        tiled(plain(brick, 0.3, 1.0, "grain"), hsv(0.1, 0.1, 0.65), (0.5, 0.16), 0.025, 0.5, 0.25),
        tiled(plain(base, 0.06, 3.0), base * 0.4, (rng.uniform(1, 2), rng.uniform(1, 3)), 0.04, 0, 0.06),
        tiled(plain(base * 0.8, 0.2, 1.0), base * 0.35, (0.9, 0.45), 0.03, 0.5, 0.2),
    ]
    return kinds[rng.choice(4, p=[0.4, 0.3, 0.15, 0.15])]


def building(
    spot: Spot,
    rng: np.random.Generator,
    size: tuple[float, float, float],
    lit: float = 0.0,
    label: int = labels.BUILDING,
) -> None:
    """Add a block of flats or offices with windows, a cornice, a base and doors; `lit` of its windows shine."""
    floors = max(1, round(size[2] / rng.uniform(2.9, 3.6)))
    axes = max(1, round(size[0] / rng.uniform(2.0, 3.6)))
    pitch = (size[0] / axes, size[2] / floors)
    pane = (pitch[0] * rng.uniform(0.4, 0.75), pitch[1] * rng.uniform(0.42, 0.65))
    wall, salt = masonry(rng), int(rng.integers(1 << 30))
    glass, frame = hsv(0.57, 0.25, rng.uniform(0.2, 0.5)), random_color(rng, (0, 0.2), (0.3, 1.0))
    facade = windows(wall, glass, frame, pitch, pane, salt)
    shine = None
    if lit:
        color = hsv(rng.uniform(0.08, 0.14), rng.uniform(0.3, 0.7), 1.0) * rng.uniform(0.5, 1.5)
        shine = lit_windows(color, pitch, pane, lit, salt + 1)
    spot.add(box(*size), Material(label, facade, emission=shine), aligned=True)
    trim = Material(label, plain(random_color(rng, (0, 0.2), (0.4, 0.85)), 0.1))
    spot.add(box(size[0] + 0.5, size[1] + 0.5, 0.35), trim, (0, 0, size[2]))
    spot.add(box(size[0] + 0.12, size[1] + 0.12, rng.uniform(0.4, 0.9)), trim)
    for level in range(1, floors if rng.random() < 0.5 else 1):
        spot.add(box(size[0] + 0.16, size[1] + 0.16, 0.14), trim, (0, 0, level * pitch[1]))
    if rng.random() < 0.5:
        for k in range(axes):
            sill = box(pane[0] + 0.3, 0.25, 0.1)
            for level in range(floors):
                z = level * pitch[1] + (pitch[1] - pane[1]) / 2 - 0.2
                spot.add(sill, trim, (-size[0] / 2 + (k + 0.5) * pitch[0], -size[1] / 2 - 0.1, z))


def house(spot: Spot, rng: np.random.Generator, lit: float = 0.0) -> None:
    """Add a small house with a gable roof, a door and a chimney."""
    size = (rng.uniform(7, 11), rng.uniform(6, 9), rng.uniform(2.8, 5.8))
    building(spot, rng, size, lit, labels.HOUSE)
    color = random_color(rng, (0.2, 0.6), (0.25, 0.6), (0.0, 0.08))
    tiles = tiled(plain(color, 0.2, 1.0), color * 0.3, (0.35, 0.4), 0.05, 0.5, 0.25)
    half, rise = size[1] / 2 + 0.5, size[1] * rng.uniform(0.3, 0.55)
    roof = extruded([(-half, 0), (half, 0), (0, rise)], size[0] + 0.9).turned(np.pi / 2)
    spot.add(roof, Material(labels.HOUSE, tiles), (0, 0, size[2] + 0.3))
    brick = Material(labels.HOUSE, plain(random_color(rng, (0.2, 0.5), (0.3, 0.6), (0, 0.06)), 0.3, 0.5, "grain"))
    spot.add(box(0.7, 0.7, rise + 1.0), brick, (size[0] * 0.25, half * 0.3, size[2]))
    door = Material(labels.DOOR, wood(hsv(0.07, 0.5, 0.5), hsv(0.06, 0.6, 0.3), along=1))
    spot.add(box(1.0, 0.2, 2.1), door, (rng.uniform(-0.3, 0.3) * size[0], -size[1] / 2 - 0.05, 0))


def fence(spot: Spot, rng: np.random.Generator, length: float) -> None:
    """Add a fence of pickets or rails along x."""
    value = rng.uniform(0.3, 0.9)
    material = Material(labels.FENCE, wood(hsv(0.08, 0.25, value), hsv(0.07, 0.35, value * 0.7), along=1))
    height = rng.uniform(0.9, 1.5)
    for z in (0.25 * height, 0.75 * height):
        spot.add(box(length, 0.04, 0.1), material, (0, 0, z))
    step = rng.choice([0.22, 1.8])
    for x in np.arange(-length / 2, length / 2, step):
        spot.add(box(min(0.12, step / 2), 0.06, height), material, (x, -0.04, 0))


def bench(spot: Spot, rng: np.random.Generator) -> None:
    """Add a park bench, its front toward -y."""
    plank = Material(labels.BENCH, wood(hsv(0.08, 0.5, 0.6), hsv(0.07, 0.6, 0.4)))
    iron = Material(labels.BENCH, plain(hsv(0.4, 0.2, 0.2), 0.1), gloss=0.4)
    width = rng.uniform(1.4, 2.0)
    for k in range(3):
        spot.add(box(width, 0.12, 0.035), plank, (0, -0.15 + 0.15 * k, 0.44))
        spot.add(box(width, 0.035, 0.11), plank, (0, 0.24, 0.55 + 0.15 * k))
    for side in (-1, 1):
        spot.add(box(0.06, 0.45, 0.44), iron, (side * (width / 2 - 0.15), 0, 0))
        spot.add(box(0.06, 0.05, 0.95), iron, (side * (width / 2 - 0.15), 0.27, 0))
