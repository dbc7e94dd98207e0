"""Halls of columns: naves, porticoes and crypts with rows of columns, arches a patterned floor; little or no sky."""

from __future__ import annotations

import numpy as np

from depth_model.world import furniture, labels, outdoors, weather
from depth_model.world.scene import Camera, Lamp, Material, Parts, Relief, Scene, Spot, Sun, Surroundings, looking
from depth_model.world.shapes import Mesh, box, cylinder, lathe, plane, strip
from depth_model.world.textures import blended, checker, hsv, marble, picture, plain, random_color, tiled


def build(rng: np.random.Generator) -> Scene:
    """Return a hall that leads away along y; the columns stand on a grid."""
    parts = Parts(rng)
    aisle, bay = rng.uniform(2.6, 5.5), rng.uniform(2.6, 5)
    lines, rows = rng.integers(2, 6), rng.integers(5, 11)
    height = rng.uniform(3.5, 9)
    xs = (np.arange(lines) - (lines - 1) / 2) * aisle
    half, end = xs[-1] + aisle * rng.uniform(0.6, 1.1), rows * bay
    _shell(parts, rng, half, end, height, bay)
    _columns(parts, rng, xs, np.arange(rows) * bay + bay / 2, height, rng.random() < 0.6)
    lamps = _furnish(parts, rng, xs, half, end, height, bay)
    warm = hsv(rng.uniform(0.06, 0.14), rng.uniform(0.05, 0.35), 1.0)
    around = warm * rng.uniform(0.12, 0.35)
    toward = np.array([rng.choice([-1, 1]) * rng.uniform(0.7, 1), rng.uniform(-0.4, 0.4), rng.uniform(0.3, 0.7)])
    sun = Sun(toward / np.linalg.norm(toward), warm * rng.uniform(1.5, 4), 0.015)
    outside = weather.day(rng, reach=1.0, haze=0.0).sky
    return Scene(
        **parts.assembled(),
        lights=(sun, *lamps),
        surroundings=Surroundings(around, around * 0.9, 2.5),
        view=lambda chance: _view(chance, half, end, height),
        near=0.5,
        sky=outside,
        brightness=rng.uniform(0.3, 0.44),
        noise=rng.uniform(0.006, 0.02),
    )


def _view(rng: np.random.Generator, half: float, end: float, height: float) -> Camera:
    place = (rng.uniform(-0.85, 0.85) * half, rng.uniform(0.02, 0.3) * end, rng.uniform(0.8, min(3, height * 0.6)))
    heading = rng.normal(0, 0.4) + 0.5 * place[0] / half
    pitch = rng.normal(0.05, 0.1)
    return looking(place, heading, pitch, rng.normal(0, 0.03), np.deg2rad(rng.uniform(50, 88)))


def _stone(rng: np.random.Generator, label: int, blocks: bool) -> Material:
    base = random_color(rng, (0.03, 0.35), (0.5, 0.9), (0.03, 0.15))
    vein = random_color(rng, (0.05, 0.4), (0.25, 0.7), (0.0, 0.15))
    rough = plain(base, 0.25, 1.5)
    if blocks:
        texture = tiled(rough, base * 0.45, (rng.uniform(0.5, 1.1), rng.uniform(0.25, 0.5)), 0.012, 0.5, 0.14)
    else:
        texture = marble(base, vein, rng.uniform(0.8, 2)) if rng.random() < 0.5 else rough
    return Material(label, texture, gloss=rng.choice([0.0, 0.3]), relief=Relief("grain", 0.8, 0.006))


def _floor(rng: np.random.Generator) -> Material:
    first, second = random_color(rng, (0.02, 0.3), (0.6, 0.95)), random_color(rng, (0.05, 0.5), (0.15, 0.6))
    side = rng.uniform(0.4, 1.1)
    kinds = [
        checker(first, second, side),
        tiled(marble(first, second), second * 0.5, (side, side), 0.012, 0.0, 0.12),
        tiled(plain(first * 0.8, 0.2), first * 0.3, (side * 1.4, side * 0.7), 0.015, 0.5, 0.2),
        blended(first * 0.6, second, 3.0, "cells", 3),
    ]
    return Material(labels.FLOOR, kinds[rng.integers(4)], gloss=rng.uniform(0, 0.6), mirror=rng.choice([0, 0.04, 0.08]))


def _shell(parts: Parts, rng: np.random.Generator, half: float, end: float, height: float, bay: float) -> None:
    """Add floor, ceiling, end walls, and side walls with tall openings that let the sun in."""
    parts.add(plane((-half - 30, half + 30), (-6, end + 2)), _floor(rng))
    ceiling = _stone(rng, labels.CEILING, False)
    parts.add(box(2 * half + 1, end + 8, 0.5), ceiling, (0, end / 2 - 2, height))
    wall = _stone(rng, labels.WALL, rng.random() < 0.7)
    for y in (-5.5, end + 0.5):
        parts.add(box(2 * half + 0.8, 1.0, height), wall, (0, y, 0))
    opening = rng.uniform(0.3, 0.6) * bay
    sill = rng.choice([0.0, rng.uniform(0.8, 0.4 * height)])
    for side in (-1, 1):
        closed = rng.random() < 0.4
        for y in np.arange(-5, end, bay):
            _wall_bay(parts, wall, (side * (half + 0.2), y + bay / 2), bay, 0 if closed else opening, sill, height)
        court = Material(labels.WALL, plain(hsv(0.1, 0.2, 0.95), 0.2), emission=plain(hsv(0.55, 0.1, 1.0) * 0.6, 0.1))
        parts.add(box(0.5, end + 14, height * 0.75), court, (side * (half + 12), end / 2, 0))


def _wall_bay(
    parts: Parts, wall: Material, place: tuple[float, float], bay: float, opening: float, sill: float, height: float
) -> None:
    if not opening:
        parts.add(box(0.4, bay, height), wall, (*place, 0))
        return
    pier = (bay - opening) / 2
    for shift in (-1, 1):
        parts.add(box(0.4, pier, height), wall, (place[0], place[1] + shift * (opening + pier) / 2, 0))
    if sill:
        parts.add(box(0.42, opening, sill), wall, (*place, 0))
    top = height * 0.85
    parts.add(box(0.4, opening, height - top), wall, (*place, top))


def _columns(
    parts: Parts, rng: np.random.Generator, xs: np.ndarray, ys: np.ndarray, height: float, arched: bool
) -> None:
    """Stand columns on the grid, and join them along y by arches or beams."""
    shaft, trim = _stone(rng, labels.COLUMN, False), _stone(rng, labels.COLUMN, False)
    radius = rng.uniform(0.16, 0.42)
    bay = ys[1] - ys[0]
    spring = height - (bay / 2 - radius) - 0.3 if arched and height > bay / 2 + 2.2 else height - 0.5
    square = rng.random() < 0.25
    body = _shaft(rng, radius, spring, square)
    base = box(2.8 * radius, 2.8 * radius, 0.18 + 0.4 * radius)
    ring = lathe([(0, 0), (1.35 * radius, 0), (1.4 * radius, 0.08), (1.1 * radius, 0.2), (0, 0.2)], 20)
    capital = lathe([(0, 0), (radius * 0.9, 0), (radius * 1.05, 0.1), (radius * 1.5, 0.4), (0, 0.4)], 20)
    plate = box(3.1 * radius, 3.1 * radius, 0.12)
    beam = _arcade(bay, height - spring, radius) if spring < height - 0.6 else box(1.8 * radius, bay, height - spring)
    for x in xs:
        for y in ys:
            parts.add(body, shaft, (x, y, 0))
            parts.add(base, trim, (x, y, 0))
            parts.add(ring, trim, (x, y, 0.18 + 0.4 * radius))
            parts.add(capital, trim, (x, y, spring - 0.5))
            parts.add(plate, trim, (x, y, spring - 0.12))
            if y < ys[-1]:
                parts.add(beam, trim, (x, y + bay / 2, spring))


def _shaft(rng: np.random.Generator, radius: float, height: float, square: bool) -> Mesh:
    if square:
        return box(1.8 * radius, 1.8 * radius, height - 0.3)
    fluted = rng.random() < 0.4
    steps = np.linspace(0, 1, 5)
    profile = [(0.0, 0.0), *[(radius * (1 - 0.14 * s**2), s * (height - 0.3)) for s in steps], (0.0, height - 0.3)]
    mesh = lathe(profile, 10 if fluted else 24)
    if not fluted:
        return mesh
    flat = np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return Mesh(mesh.corners, np.repeat(flat[:, None], 3, 1), mesh.uv)


def _arcade(bay: float, rise: float, radius: float) -> Mesh:
    """Return the wall above one round arch between two columns, centered on x = y = 0, standing on the spring line."""
    span, thick = bay / 2 - radius, 0.9 * radius
    angles = np.linspace(0, np.pi, 13)
    ys, zs = -span * np.cos(angles), np.minimum(span * np.sin(angles), rise - 0.05)
    ys, zs = np.concatenate([[-bay / 2], ys, [bay / 2]]), np.concatenate([[0.0], zs, [0.0]])
    return strip(np.stack([ys, zs], -1), np.stack([ys, np.full_like(zs, rise)], -1), 2 * thick)


def _furnish(
    parts: Parts, rng: np.random.Generator, xs: np.ndarray, half: float, end: float, height: float, bay: float
) -> list[Lamp]:
    """Add benches, statues, carpets, people and hanging lamps; return the light of the lamps."""
    middle = xs[:-1] + np.diff(xs) / 2
    if rng.random() < 0.4:
        parts.add(box(1.4, end, 0.015), furniture.cloth(rng, labels.RUG), (middle[len(middle) // 2], end / 2, 0))
    for _ in range(rng.integers(1, 6)):
        x, y = rng.choice(middle) + rng.uniform(-0.5, 0.5), rng.uniform(0.15, 0.9) * end
        kind = rng.integers(4)
        spot = Spot(parts, (x, y, 0), rng.uniform(0, 6.28))
        if kind == 0:
            outdoors.bench(spot, rng)
        elif kind == 1:
            outdoors.person(spot, rng)
        else:
            _statue(spot, rng)
    for x in (-half, half):
        for y in np.arange(bay / 2, end, bay * rng.integers(1, 3)):
            if rng.random() < 0.4:
                colors = np.array([random_color(rng) for _ in range(4)])
                canvas = Material(labels.PAINTING, picture(colors, 2.5, rng.random()))
                parts.add(box(0.1, 0.35 * bay, 1.3), canvas, (x * 0.998, y - bay / 2, 1.3))
    return [_hanging_lamp(parts, rng, rng.choice(middle), y, height) for y in rng.uniform(0.2, 0.9, 2) * end]


def _hanging_lamp(parts: Parts, rng: np.random.Generator, x: float, y: float, height: float) -> Lamp:
    glow = hsv(rng.uniform(0.07, 0.12), rng.uniform(0.3, 0.6), 1.0)
    z = height * rng.uniform(0.5, 0.75)
    iron = Material(labels.LAMP, plain(hsv(0.1, 0.1, 0.2), 0.1))
    globe = Material(labels.LAMP, plain(glow, 0), emission=plain(glow * 4, 0))
    parts.add(cylinder(0.02, height - z, 6), iron, (x, y, z))
    parts.add(lathe([(0, 0), (0.16, 0.05), (0.2, 0.25), (0.1, 0.4), (0, 0.4)], 14, smooth=True), globe, (x, y, z - 0.3))
    return Lamp(np.array([x, y, z - 0.1]), glow * rng.uniform(1, 4), 0.25)


def _statue(spot: Spot, rng: np.random.Generator) -> None:
    """Add a vase or an urn on a pedestal."""
    stone = _stone(rng, labels.PEDESTAL, False)
    size, height = rng.uniform(0.35, 0.6), rng.uniform(0.6, 1.2)
    spot.add(box(size, size, height), stone)
    spot.add(box(size * 1.2, size * 1.2, 0.08), stone, (0, 0, height))
    furniture.vessel(Spot(spot.parts, spot.world((0, 0, height + 0.08)), spot.heading), rng, rng.uniform(0.5, 1.0))
