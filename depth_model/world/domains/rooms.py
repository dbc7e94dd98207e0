"""Furnished rooms by day or by lamp light: 3 to 8 meters, no sky."""

from __future__ import annotations

import numpy as np

from depth_model.world import furniture, labels
from depth_model.world.scene import Camera, Lamp, Material, Parts, Relief, Scene, Spot, Surroundings, looking
from depth_model.world.shapes import box, cylinder, plane, sphere
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
    """Return a room with furniture along its walls and in the middle."""
    width, depth, height = rng.uniform(3.2, 6), rng.uniform(3.8, 8), rng.uniform(2.4, 3.2)
    parts = Parts(rng)
    _shell(parts, rng, width, depth, height)
    lights = _openings(parts, rng, width, depth, height)
    lights += _ceiling_lamp(parts, rng, height)
    lights += _along_walls(parts, rng, width, depth, height)
    _middle(parts, rng, width, depth)
    above = hsv(rng.uniform(0.05, 0.15), rng.uniform(0.02, 0.15), 1.0) * rng.uniform(0.25, 0.5)
    return Scene(
        **parts.assembled(),
        lights=tuple(lights),
        surroundings=Surroundings(above, above * 0.8, rng.uniform(0.8, 1.5)),
        view=lambda chance: _view(chance, width, depth, height),
        near=0.35,
        brightness=rng.uniform(0.36, 0.5),
        noise=rng.uniform(0.005, 0.02),
    )


def _view(rng: np.random.Generator, width: float, depth: float, height: float) -> Camera:
    x = rng.uniform(-0.42, 0.42) * width
    y = rng.uniform(-0.47, -0.2) * depth
    target = np.array([rng.uniform(-0.3, 0.3) * width, rng.uniform(0.1, 0.5) * depth])
    heading = np.arctan2(x - target[0], target[1] - y)
    eye = rng.uniform(0.7, min(1.9, height - 0.4))
    pitch = rng.normal(-0.12, 0.12) - 0.1 * (eye - 1.2)
    return looking((x, y, eye), heading, pitch, rng.normal(0, 0.03), np.deg2rad(rng.uniform(52, 88)))


def _shell(parts: Parts, rng: np.random.Generator, width: float, depth: float, height: float) -> None:
    parts.add(plane((-width / 2, width / 2), (-depth / 2, depth / 2)), _floor(rng))
    ceiling = plane((-width / 2, width / 2), (-depth / 2, depth / 2)).flipped()
    parts.add(ceiling, Material(labels.CEILING, plain(hsv(0.1, 0.04, rng.uniform(0.8, 0.95)), 0.04)), (0, 0, height))
    material, accent = _wall(rng), _wall(rng)
    skirting = Material(labels.WALL, plain(hsv(0.1, 0.1, rng.uniform(0.3, 0.95)), 0.03))
    for k, (length, place) in enumerate([(width, depth), (depth, width), (width, depth), (depth, width)]):
        angle = k * np.pi / 2
        center = np.array([-np.sin(angle), np.cos(angle)]) * (place / 2 + 0.05)
        parts.add(box(length + 0.2, 0.1, height), accent if k == 0 else material, (*center, 0), angle)
        parts.add(box(length + 0.06, 0.13, rng.uniform(0.06, 0.1)), skirting, (*center, 0), angle)


def _floor(rng: np.random.Generator) -> Material:
    hue, value = rng.uniform(0.05, 0.11), rng.uniform(0.35, 0.8)
    light, dark = hsv(hue, 0.45, value), hsv(hue, 0.6, value * 0.7)
    stone, vein = random_color(rng, (0, 0.25), (0.5, 0.9)), random_color(rng, (0, 0.3), (0.2, 0.6))
    side = rng.uniform(0.25, 0.6)
    kinds = [
        tiled(wood(light, dark), dark * 0.3, (rng.uniform(0.8, 1.6), rng.uniform(0.08, 0.2)), 0.004, 0.37),
        tiled(marble(stone, vein), vein * 0.6, (side, side), 0.008, 0, 0.12),
        checker(stone, vein, side),
        blended(random_color(rng, (0, 0.5), (0.3, 0.7)), random_color(rng, (0, 0.5), (0.3, 0.7)), 0.5, "grain", 2),
    ]
    kind = rng.choice(4, p=[0.5, 0.2, 0.12, 0.18])
    if kind == 3:
        return Material(labels.FLOOR, kinds[3], relief=Relief("grain", 0.3, 0.005))
    return Material(labels.FLOOR, kinds[kind], gloss=rng.uniform(0, 0.4), mirror=rng.choice([0.0, 0.03, 0.06]))


def _wall(rng: np.random.Generator) -> Material:
    paint = random_color(rng, (0.02, 0.35), (0.55, 0.95))
    second = random_color(rng, (0.05, 0.4), (0.5, 0.9))
    brick = tiled(
        plain(random_color(rng, (0.2, 0.6), (0.4, 0.8), (0.0, 0.09)), 0.3, 0.5, "grain"),
        hsv(0.1, 0.08, 0.75),
        (0.24, 0.08),
        0.012,
        0.5,
        0.25,
    )
    kinds = [
        plain(paint, 0.05, 2.0),
        stripes(paint, second, rng.uniform(0.08, 0.3), rng.uniform(0.3, 0.7)),
        brick,
        blended(paint, second, 1.2, "cells", 2),
        tiled(plain(paint, 0.04), paint * 0.6, (0.2, 0.2), 0.006, 0, 0.06),
    ]
    kind = rng.choice(5, p=[0.6, 0.14, 0.1, 0.08, 0.08])
    relief = Relief("grain", 0.6, 0.006) if kind in (0, 2) else None
    return Material(labels.WALL, kinds[kind], gloss=0.25 if kind == 4 else 0.0, relief=relief)


def _openings(parts: Parts, rng: np.random.Generator, width: float, depth: float, height: float) -> list[Lamp]:
    """Add windows, a door and paintings to the walls; return the daylight."""
    lights = []
    frame = furniture.painted(rng, labels.WINDOW_PANE)
    daylight = hsv(rng.uniform(0.5, 0.62), rng.uniform(0.02, 0.2), 1.0) * rng.uniform(1.0, 4.0)
    for side in rng.permutation([-1, 1])[: rng.integers(0, 3)]:
        size = (rng.uniform(0.8, 1.8), rng.uniform(1.0, min(1.6, height - 1.1)))
        y, z = rng.uniform(-0.2, 0.3) * depth, rng.uniform(0.7, 0.95)
        spot = Spot(parts, (side * width / 2, y, z), -side * np.pi / 2)
        _window(spot, rng, size, frame, daylight)
        inside = (side * (width / 2 - 0.35), y, z + size[1] / 2)
        lights.append(Lamp(np.array(inside), daylight * size[0] * size[1] * 0.9, 0.3))
    x = rng.uniform(-0.3, 0.3) * width
    if rng.random() < 0.6:
        wing = furniture.timber(rng, labels.DOOR, along=1)
        parts.add(box(0.9, 0.06, 2.05), wing, (x, depth / 2, 0))
        parts.add(box(1.04, 0.03, 2.12), furniture.painted(rng, labels.DOOR), (x, depth / 2, 0))
        knob = Material(labels.DOOR, plain(hsv(0.12, 0.3, 0.6), 0), gloss=1.0)
        parts.add(sphere(0.035, 10), knob, (x + 0.36, depth / 2 - 0.06, 1.02))
    for _ in range(rng.integers(1, 4)):
        _painting(parts, rng, width, depth)
    return lights


def _window(
    spot: Spot, rng: np.random.Generator, size: tuple[float, float], frame: Material, light: np.ndarray
) -> None:
    view = blended(light, light * hsv(rng.uniform(0.2, 0.6), 0.5, 0.8), size[1] * 1.5, contrast=2)
    pane = Material(labels.WINDOW_PANE, plain(hsv(0.6, 0.1, 0.1), 0), emission=view)
    spot.add(box(size[0], 0.02, size[1]), pane, (0, -0.01, 0))
    for x in np.linspace(-size[0] / 2, size[0] / 2, rng.integers(2, 5)):
        spot.add(box(0.05, 0.06, size[1] + 0.05), frame, (x, -0.01, -0.025))
    for z in np.linspace(0, size[1], rng.integers(2, 4)):
        spot.add(box(size[0] + 0.05, 0.06, 0.05), frame, (0, -0.01, z - 0.025))
    spot.add(box(size[0] + 0.2, 0.2, 0.03), frame, (0, -0.05, -0.06))
    if rng.random() < 0.5:
        fabric = furniture.cloth(rng, labels.CURTAIN)
        for side in (-1, 1):
            for fold in range(4):
                x = side * (size[0] / 2 + 0.02 + 0.07 * fold)
                spot.add(cylinder(0.05, size[1] + 0.4, 8), fabric, (x, -0.12, -0.25))


def _painting(parts: Parts, rng: np.random.Generator, width: float, depth: float) -> None:
    size = (rng.uniform(0.3, 1.1), rng.uniform(0.3, 0.8))
    colors = np.array([random_color(rng, (0.1, 0.9), (0.2, 0.95)) for _ in range(5)])
    canvas = Material(labels.PAINTING, picture(colors, max(size) * 1.5, rng.random()), gloss=0.1)
    frame = furniture.timber(rng, labels.PAINTING)
    angle = rng.choice([0.0, np.pi / 2, -np.pi / 2])
    place = depth / 2 if angle == 0 else width / 2
    along = rng.uniform(-0.35, 0.35) * (width if angle == 0 else depth)
    center = np.array([-np.sin(angle), np.cos(angle)]) * place + np.array([np.cos(angle), np.sin(angle)]) * along
    spot = Spot(parts, (*center, rng.uniform(1.25, 1.5)), angle)
    spot.add(box(size[0] + 0.08, 0.04, size[1] + 0.08), frame, (0, 0, -0.04))
    spot.add(box(*(size[0], 0.05, size[1])), canvas, aligned=True)


def _ceiling_lamp(parts: Parts, rng: np.random.Generator, height: float) -> list[Lamp]:
    place = rng.uniform(-0.6, 0.6, 2)
    drop, radius = rng.uniform(0.15, 0.6), rng.uniform(0.1, 0.2)
    glow = hsv(rng.uniform(0.08, 0.15), rng.uniform(0.05, 0.4), 1.0)
    strength = rng.uniform(1.0, 4.0)
    ball = Material(labels.LAMP, plain(glow, 0), emission=plain(glow * 3, 0))
    parts.add(cylinder(0.01, drop, 6), furniture.painted(rng, labels.LAMP), (*place, height - drop))
    parts.add(sphere(radius, 16), ball, (*place, height - drop))
    return [Lamp(np.array([*place, height - drop]), glow * strength, radius)]


def _along_walls(parts: Parts, rng: np.random.Generator, width: float, depth: float, height: float) -> list[Lamp]:
    """Line the far and side walls with furniture; return the light of standing lamps."""
    lights: list[Lamp] = []
    walls = [(0.0, width, depth), (np.pi / 2, depth, width), (-np.pi / 2, depth, width)]
    for angle, length, across in walls:
        along = -length / 2 + rng.uniform(0.3, 0.7)
        while along < length / 2 - 1.0:
            size = min(rng.uniform(0.6, 2.2), length / 2 - along - 0.3)
            middle = along + size / 2
            out = across / 2 - 0.08
            direction, side = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
            if size > 0.5 and (angle == 0 or middle * np.sign(angle) > -0.25 * length or rng.random() < 0.4):
                spot = Spot(parts, (*(direction * out + side * middle), 0.0), angle)
                lights += _piece(spot, rng, size, height)
            along += size + rng.uniform(0.15, 1.0)
    return lights


def _piece(spot: Spot, rng: np.random.Generator, size: float, height: float) -> list[Lamp]:
    """Put one piece of furniture of about `size` meters with its back at the spot."""

    def pulled(distance: float) -> Spot:
        return Spot(spot.parts, spot.world((0, -distance, 0)), spot.heading)

    if size < 0.9:
        kind = rng.integers(3)
        if kind == 0:
            furniture.potted_plant(pulled(0.35), rng, rng.uniform(0.7, 1.6))
        elif kind == 1:
            furniture.chair(pulled(0.3), rng)
        else:
            return furniture.floor_lamp(pulled(0.3), rng, rng.uniform(0.3, 1.2))
        return []
    kind = rng.integers(4)
    if kind == 0 and size > 1.4:
        furniture.sofa(pulled(0.48), rng, size)
    elif kind == 1 and size > 1.4:
        furniture.bed(pulled(1.05), rng, min(size, 1.8))
    elif kind == 2:
        furniture.bookcase(pulled(0.18), rng, min(size, 1.6), rng.uniform(1.0, min(2.2, height - 0.2)))
    else:
        _cabinet_with_things(pulled(0.32), rng, min(size, 1.8), height)
    return []


def _cabinet_with_things(spot: Spot, rng: np.random.Generator, size: float, height: float) -> None:
    tall = rng.choice([rng.uniform(0.5, 0.95), rng.uniform(1.6, height - 0.3)], p=[0.75, 0.25])
    furniture.cabinet(spot, rng, size, tall)
    for _ in range(rng.integers(0, 4)):
        top = Spot(spot.parts, spot.world((rng.uniform(-0.4, 0.4) * size, rng.uniform(-0.1, 0.1), tall)), spot.heading)
        _thing(top, rng)


def _thing(spot: Spot, rng: np.random.Generator) -> None:
    kind = rng.integers(4)
    if kind == 0:
        furniture.vessel(spot, rng, rng.uniform(0.15, 0.4))
    elif kind == 1:
        furniture.book_pile(spot, rng, rng.integers(1, 5))
    elif kind == 2:
        furniture.box_of_goods(spot, rng, tuple(rng.uniform(0.08, 0.3, 3)))
    else:
        furniture.potted_plant(spot, rng, rng.uniform(0.2, 0.45))


def _middle(parts: Parts, rng: np.random.Generator, width: float, depth: float) -> None:
    """Put a table with chairs, a coffee table or just a rug into the middle."""
    place = np.array([rng.uniform(-0.1, 0.1) * width, rng.uniform(-0.05, 0.15) * depth])
    spot = Spot(parts, (*place, 0.0), rng.uniform(-0.4, 0.4))
    if rng.random() < 0.6:
        spot.add(box(rng.uniform(1.5, 2.6), rng.uniform(1.2, 2.0), 0.012), furniture.cloth(rng, labels.RUG))
    kind = rng.random()
    if kind < 0.2:
        return
    low = kind > 0.7
    size = (rng.uniform(0.8, 1.3), rng.uniform(0.5, 0.8)) if low else (rng.uniform(1.0, 1.9), rng.uniform(0.75, 0.95))
    top = rng.uniform(0.36, 0.5) if low else rng.uniform(0.7, 0.78)
    furniture.table(spot, rng, size, top)
    for _ in range(rng.integers(1, 5)):
        offset = (rng.uniform(-0.35, 0.35) * size[0], rng.uniform(-0.35, 0.35) * size[1], top)
        if min(size) / 2 > np.hypot(*offset[:2]):
            _thing(Spot(parts, spot.world(offset), rng.uniform(0, 6)), rng)
    if low:
        return
    for side in (-1, 1):
        for x in np.arange(-size[0] / 2 + 0.35, size[0] / 2 - 0.2, 0.62):
            if rng.random() < 0.85:
                out = size[1] / 2 + rng.uniform(0.05, 0.35)
                heading = spot.heading + (0 if side > 0 else np.pi) + rng.normal(0, 0.15)
                furniture.chair(Spot(parts, spot.world((x, side * out, 0)), heading), rng)
