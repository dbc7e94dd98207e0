"""Furniture and what stands on it: each function adds one object of random make to a scene.

Objects stand at a `Spot`; their front looks along its -y.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from depth_model.world import labels
from depth_model.world.scene import Lamp, Material, Relief, Spot
from depth_model.world.shapes import blob, box, cylinder, lathe, torus
from depth_model.world.textures import blended, checker, hsv, picture, plain, random_color, stripes, wood


def timber(rng: np.random.Generator, label: int, along: int = 0) -> Material:
    """Return bare or stained wood for an object of class `label`."""
    value = rng.uniform(0.3, 0.85)
    hue, saturation = rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.65)
    light, dark = hsv(hue, saturation, value), hsv(hue - 0.01, min(saturation + 0.15, 1), value * 0.68)
    return Material(label, wood(light, dark, along), gloss=rng.uniform(0, 0.3), mirror=rng.choice([0.0, 0.0, 0.03]))


def painted(rng: np.random.Generator, label: int) -> Material:
    """Return a smooth painted surface for an object of class `label`."""
    return Material(label, plain(random_color(rng), 0.06), gloss=rng.uniform(0.0, 0.4))


def cloth(rng: np.random.Generator, label: int) -> Material:
    """Return woven cloth, plain, striped or checked, for an object of class `label`."""
    first, second = random_color(rng, (0.1, 0.7), (0.2, 0.8)), random_color(rng, (0.1, 0.7), (0.2, 0.8))
    size = rng.uniform(0.05, 0.2)
    kinds = [
        plain(first, 0.25, 0.3, "grain"),
        blended(first, second, rng.uniform(0.5, 1.5), contrast=6),
        stripes(first, second, size, rng.uniform(0.3, 0.7)),
        checker(first, second, size),
    ]
    texture = kinds[rng.choice(4, p=[0.55, 0.15, 0.2, 0.1])]
    return Material(label, texture, relief=Relief("grain", 0.25, 0.004))


def table(spot: Spot, rng: np.random.Generator, size: tuple[float, float], height: float) -> None:
    """Add a table with four legs or a round one on a column."""
    material = timber(rng, labels.TABLE)
    thick = rng.uniform(0.025, 0.06)
    if rng.random() < 0.25:
        radius = min(size) / 2
        spot.add(cylinder(radius, thick, 32), material, (0, 0, height - thick))
        spot.add(cylinder(0.05, height - thick - 0.03, 12), material, (0, 0, 0.03))
        spot.add(cylinder(radius * 0.6, 0.03, 24), material)
        return
    spot.add(box(*size, thick), material, (0, 0, height - thick))
    leg = rng.uniform(0.04, 0.08)
    for x in (-1, 1):
        for y in (-1, 1):
            place = (x * (size[0] / 2 - leg), y * (size[1] / 2 - leg), 0)
            spot.add(box(leg, leg, height - thick), material, place)


def chair(spot: Spot, rng: np.random.Generator) -> None:
    """Add a chair with a back of slats or a board, sometimes with a cushion."""
    material = timber(rng, labels.CHAIR) if rng.random() < 0.7 else painted(rng, labels.CHAIR)
    seat, width, back = rng.uniform(0.42, 0.48), rng.uniform(0.4, 0.48), rng.uniform(0.38, 0.55)
    for x in (-1, 1):
        spot.add(box(0.04, 0.04, seat), material, (x * (width / 2 - 0.02), -width / 2 + 0.02, 0))
        spot.add(box(0.04, 0.04, seat + back), material, (x * (width / 2 - 0.02), width / 2 - 0.02, 0))
    spot.add(box(width, width, 0.04), material, (0, 0, seat))
    if rng.random() < 0.5:
        spot.add(box(width - 0.08, 0.025, back * 0.6), material, (0, width / 2 - 0.02, seat + back * 0.38))
    else:
        for height in np.linspace(0.15, 0.9, 4):
            spot.add(box(width - 0.08, 0.02, 0.05), material, (0, width / 2 - 0.02, seat + back * height))
    if rng.random() < 0.4:
        spot.add(box(width * 0.85, width * 0.85, 0.05), cloth(rng, labels.CUSHION), (0, 0, seat + 0.04))


def sofa(spot: Spot, rng: np.random.Generator, width: float) -> None:
    """Add a sofa of `width` meters with cushions."""
    material = cloth(rng, labels.SOFA)
    depth, arm = rng.uniform(0.8, 0.95), rng.uniform(0.14, 0.24)
    spot.add(box(width, depth, 0.3), material, (0, 0, 0.08))
    spot.add(box(width, 0.22, rng.uniform(0.4, 0.55)), material, (0, depth / 2 - 0.11, 0.38))
    for side in (-1, 1):
        spot.add(box(arm, depth, rng.uniform(0.22, 0.3)), material, (side * (width / 2 - arm / 2), 0, 0.38))
        spot.add(box(0.08, depth - 0.1, 0.08), timber(rng, labels.SOFA), (side * (width / 2 - 0.1), 0, 0))
    seats = 2 if width < 1.9 else 3
    each = (width - 2 * arm) / seats
    for k in range(seats):
        x = -width / 2 + arm + each * (k + 0.5)
        spot.add(box(each - 0.02, depth - 0.26, 0.13), material, (x, -0.1, 0.38))
        if rng.random() < 0.5:
            pillow = blob(0.2, rng, 0.12).scaled((1.0, 0.45, 0.95))
            spot.add(pillow, cloth(rng, labels.CUSHION), (x, depth / 2 - 0.33, 0.68), rng.uniform(-0.3, 0.3))


def bed(spot: Spot, rng: np.random.Generator, width: float) -> None:
    """Add a bed of `width` meters, its head at +y."""
    frame, sheet = timber(rng, labels.BED), cloth(rng, labels.BED)
    spot.add(box(width, 2.0, 0.28), frame, (0, 0, 0.05))
    spot.add(box(width - 0.06, 1.94, 0.2), Material(labels.BED, plain(hsv(0.1, 0.05, 0.9), 0.08)), (0, 0, 0.33))
    spot.add(box(width + 0.04, 1.35, 0.12), sheet, (0, -0.32, 0.45))
    spot.add(box(width + 0.06, 0.06, rng.uniform(0.8, 1.2)), frame, (0, 1.02, 0))
    for x in (-width / 4, width / 4):
        pillow = blob(0.3, rng, 0.08).scaled((1.0, 0.65, 0.35))
        spot.add(pillow, cloth(rng, labels.PILLOW), (x, 0.7, 0.6), rng.uniform(-0.15, 0.15))


def bookcase(spot: Spot, rng: np.random.Generator, width: float, height: float) -> None:
    """Add shelves with books, boxes and vases."""
    material = timber(rng, labels.BOOKCASE, along=1)
    depth, board = 0.32, 0.025
    spot.add(box(width, 0.02, height), material, (0, depth / 2, 0))
    for side in (-1, 1):
        spot.add(box(board, depth, height), material, (side * width / 2, 0, 0))
    count = max(2, round(height / rng.uniform(0.32, 0.42)))
    levels = np.linspace(0.06, height - board, count + 1)
    for level in levels:
        spot.add(box(width, depth, board), material, (0, 0, level))
    for low, high in pairwise(levels):
        _books(spot, rng, width - 0.1, low + board, high - low - board)


def _books(spot: Spot, rng: np.random.Generator, width: float, z: float, room: float) -> None:
    covers = [Material(labels.BOOK, plain(random_color(rng, (0.2, 0.8), (0.2, 0.85)), 0.1)) for _ in range(4)]
    x, end = -width / 2, width / 2
    while x < end - 0.08:
        if rng.random() < 0.12:
            x += rng.uniform(0.1, 0.25)
            continue
        thick = rng.uniform(0.025, 0.07)
        size = (thick * 0.96, rng.uniform(0.16, 0.24), room * rng.uniform(0.55, 0.92))
        spot.add(box(*size), covers[rng.integers(4)], (x + thick / 2, 0.03, z))
        x += thick


def cabinet(spot: Spot, rng: np.random.Generator, width: float, height: float) -> None:
    """Add a cabinet, chest or wardrobe with doors or drawers and handles."""
    material = timber(rng, labels.CABINET, along=1) if rng.random() < 0.6 else painted(rng, labels.CABINET)
    metal = Material(labels.CABINET, plain(hsv(0.1, 0.1, 0.6), 0.05), gloss=0.8)
    depth = rng.uniform(0.4, 0.6)
    spot.add(box(width, depth, height), material)
    columns, rows = max(1, round(width / 0.5)), 1 if rng.random() < 0.5 else max(1, round(height / 0.25))
    door = (width / columns, (height - 0.08) / rows)
    for column in range(columns):
        for row in range(rows):
            x, z = -width / 2 + door[0] * (column + 0.5), 0.05 + door[1] * row
            spot.add(box(door[0] - 0.02, 0.02, door[1] - 0.02), material, (x, -depth / 2 - 0.01, z + 0.01))
            spot.add(box(0.1, 0.02, 0.015), metal, (x, -depth / 2 - 0.03, z + door[1] * 0.6))


def floor_lamp(spot: Spot, rng: np.random.Generator, strength: float) -> list[Lamp]:
    """Add a standing lamp and return its light."""
    height, radius = rng.uniform(1.3, 1.7), rng.uniform(0.16, 0.24)
    metal = Material(labels.LAMP, plain(hsv(0.1, 0.2, rng.uniform(0.15, 0.7)), 0.05), gloss=0.8)
    spot.add(cylinder(0.14, 0.03, 20), metal)
    spot.add(cylinder(0.015, height, 8), metal, (0, 0, 0.03))
    glow = hsv(rng.uniform(0.08, 0.13), 0.3, 1.0)
    shade = Material(labels.LAMP, plain(glow * 0.7, 0.05), emission=plain(glow * strength * 0.8, 0.05))
    profile = [(radius * 0.95, 0), (radius, 0), (radius * 0.7, 0.28), (radius * 0.65, 0.28), (radius * 0.95, 0)]
    spot.add(lathe(profile, 20), shade, (0, 0, height - 0.2))
    return [Lamp(spot.world((0, 0, height + 0.12)), glow * strength, 0.08)]


def potted_plant(spot: Spot, rng: np.random.Generator, height: float) -> None:
    """Add a plant of `height` meters in a pot."""
    radius = height * rng.uniform(0.14, 0.2)
    clay = Material(labels.POT, plain(random_color(rng, (0.1, 0.6), (0.3, 0.8)), 0.15), gloss=rng.uniform(0, 0.5))
    pot_height = height * 0.3
    spot.add(
        lathe(
            [(0, 0), (radius * 0.7, 0), (radius, pot_height), (radius * 0.85, pot_height), (0, pot_height * 0.9)], 16
        ),
        clay,
    )
    leaf = foliage(rng, labels.PLANT)
    for _ in range(rng.integers(5, 10)):
        size = height * rng.uniform(0.1, 0.2)
        place = rng.normal(size=2) * height * 0.13
        mesh = blob(size, rng, 0.5, 1).scaled((1, 1, rng.uniform(0.8, 1.8)))
        spot.add(mesh, leaf, (*place, pot_height + rng.uniform(0.1, 0.6) * height))


def foliage(rng: np.random.Generator, label: int) -> Material:
    """Return leaves."""
    hue = rng.uniform(0.2, 0.36)
    dark, light = hsv(hue, rng.uniform(0.5, 0.9), 0.18), hsv(hue - 0.03, rng.uniform(0.4, 0.8), rng.uniform(0.45, 0.7))
    return Material(label, blended(dark, light, 0.6, "grain", 3), relief=Relief("cells", 0.8, 0.05))


def vessel(spot: Spot, rng: np.random.Generator, height: float) -> None:
    """Add a vase, bottle, mug or bowl of about `height` meters, round and hollow."""
    kind = rng.choice(["vase", "bottle", "mug", "bowl"])
    make = {"vase": _vase, "bottle": _bottle, "mug": _mug, "bowl": _bowl}[kind]
    label, profile, smooth = make(rng, height)
    material = Material(label, _glaze(rng), gloss=rng.uniform(0.3, 1.0), mirror=rng.choice([0.0, 0.04]))
    spot.add(lathe(profile, 28, smooth), material)
    if kind == "mug":
        loop = torus(height * 0.15, height * 0.03).turned(np.pi / 2, "x")
        spot.add(loop, material, (profile[1][0] + height * 0.12, 0, height * 0.25))


def _glaze(rng: np.random.Generator) -> object:
    first, second = random_color(rng, (0.1, 0.8), (0.3, 0.95)), random_color(rng, (0.1, 0.8), (0.3, 0.95))
    kinds = [
        plain(first, 0.08, 0.3),
        stripes(first, second, rng.uniform(0.02, 0.06), 0.5, axis=1),
        blended(first, second, 0.2, contrast=8),
    ]
    return kinds[rng.choice(3, p=[0.6, 0.2, 0.2])]


def _vase(rng: np.random.Generator, height: float) -> tuple[int, list[tuple[float, float]], bool]:
    body, neck = height * rng.uniform(0.25, 0.4), height * rng.uniform(0.1, 0.2)
    outside = [(0, 0), (body * 0.6, 0), (body, height * 0.35), (neck, height * 0.8), (neck * 1.3, height)]
    return labels.VASE, [*outside, (neck * 1.1, height), (neck * 0.8, height * 0.8), (0, height * 0.3)], True


def _bottle(rng: np.random.Generator, height: float) -> tuple[int, list[tuple[float, float]], bool]:
    body, neck = height * rng.uniform(0.13, 0.18), height * 0.05
    shoulder = height * rng.uniform(0.55, 0.7)
    profile = [(0, 0), (body, 0), (body, shoulder), (neck, shoulder + body), (neck, height), (0, height)]
    return labels.BOTTLE, profile, False


def _mug(rng: np.random.Generator, height: float) -> tuple[int, list[tuple[float, float]], bool]:
    height, radius = height * 0.5, height * rng.uniform(0.18, 0.24)
    profile = [
        (0, 0),
        (radius, 0),
        (radius, height),
        (radius * 0.9, height),
        (radius * 0.88, height * 0.1),
        (0, height * 0.1),
    ]
    return labels.POT, profile, False


def _bowl(rng: np.random.Generator, height: float) -> tuple[int, list[tuple[float, float]], bool]:
    height, radius = height * 0.35, height * rng.uniform(0.35, 0.5)
    outside = [(0, 0), (radius * 0.45, 0), (radius * 0.85, height * 0.55), (radius, height)]
    return labels.PLATE, [*outside, (radius * 0.95, height), (radius * 0.75, height * 0.55), (0, height * 0.15)], True


def fruit(spot: Spot, rng: np.random.Generator, radius: float) -> None:
    """Add an apple, orange or the like."""
    hue = rng.choice([0.0, 0.03, 0.08, 0.13, 0.25])
    first = hsv(hue, rng.uniform(0.6, 0.9), rng.uniform(0.6, 0.9))
    skin = blended(first, hsv(hue + 0.06, 0.6, 0.85), 0.15, contrast=2)
    ball = blob(radius, rng, 0.04, 3).scaled((1, 1, rng.uniform(0.85, 1.05)))
    spot.add(ball, Material(labels.FOOD, skin, gloss=0.4), (0, 0, radius * 0.97))


def box_of_goods(spot: Spot, rng: np.random.Generator, size: tuple[float, float, float]) -> None:
    """Add a printed packet or a cardboard box."""
    if rng.random() < 0.4:
        print_ = plain(hsv(0.08, 0.45, 0.65), 0.1)
    else:
        colors = np.array([random_color(rng, (0.2, 0.9), (0.3, 0.95)) for _ in range(4)])
        print_ = picture(colors, max(size) * 2, rng.random())
    spot.add(box(*size), Material(labels.BOX, print_, gloss=0.1))


def book_pile(spot: Spot, rng: np.random.Generator, count: int) -> None:
    """Add `count` books on top of each other."""
    z = 0.0
    for _ in range(count):
        size = (rng.uniform(0.13, 0.2), rng.uniform(0.18, 0.27), rng.uniform(0.015, 0.045))
        turn = rng.uniform(-0.4, 0.4)
        cover = Material(labels.BOOK, plain(random_color(rng, (0.2, 0.9), (0.2, 0.9)), 0.1, 0.3), gloss=0.15)
        paper = Material(labels.BOOK, stripes(hsv(0.12, 0.1, 0.9), hsv(0.12, 0.15, 0.7), 0.004, 0.5, axis=1))
        spot.add(box(size[0], size[1], 0.003), cover, (0, 0, z), turn)
        spot.add(box(size[0] - 0.008, size[1] - 0.008, size[2] - 0.006), paper, (0, 0, z + 0.003), turn)
        spot.add(box(size[0], size[1], 0.003), cover, (0, 0, z + size[2] - 0.003), turn)
        z += size[2]
