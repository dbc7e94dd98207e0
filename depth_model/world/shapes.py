"""Closed solids and ground surfaces as triangles with normals and surface coordinates in meters.

World axes: x to the right, y ahead, z up. Faces wind counter-clockwise seen from outside, so that a ray that
meets a back face is inside a solid. Solids stand on z = 0 unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True)
class Mesh:
    """F triangles: corners and corner normals float64 (F, 3, 3), surface coordinates in meters (F, 3, 2)."""

    corners: np.ndarray
    normals: np.ndarray
    uv: np.ndarray

    def moved(self, offset: Sequence[float]) -> Mesh:
        """Return the mesh shifted by (x, y, z)."""
        return Mesh(self.corners + np.asarray(offset, float), self.normals, self.uv)

    def turned(self, angle: float, axis: str = "z") -> Mesh:
        """Return the mesh turned by `angle` in radians around an axis through the origin."""
        rotation = rotation_about(axis, angle)
        return Mesh(self.corners @ rotation.T, self.normals @ rotation.T, self.uv)

    def scaled(self, factors: Sequence[float]) -> Mesh:
        """Return the mesh stretched by three positive factors; surface coordinates stay as they are."""
        factors = np.asarray(factors, float)
        normals = self.normals / factors
        return Mesh(self.corners * factors, normals / np.linalg.norm(normals, axis=2, keepdims=True), self.uv)

    def resized(self, factor: float) -> Mesh:
        """Return the mesh `factor` times as large, its surface coordinates too."""
        return Mesh(self.corners * factor, self.normals, self.uv * factor)

    def flipped(self) -> Mesh:
        """Return the mesh turned inside out: the walls of a room instead of those of a block."""
        return Mesh(self.corners[:, ::-1], -self.normals[:, ::-1], self.uv[:, ::-1])


def joined(*meshes: Mesh) -> Mesh:
    """Return one mesh of all triangles."""
    return Mesh(*(np.concatenate([getattr(mesh, name) for mesh in meshes]) for name in ("corners", "normals", "uv")))


def rotation_about(axis: str, angle: float) -> np.ndarray:
    """Return the 3x3 matrix that turns by `angle` in radians around the axis x, y or z (right-hand rule)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def quads(corners: np.ndarray, uv: np.ndarray, normals: np.ndarray | None = None) -> Mesh:
    """Return two triangles for each quadrilateral of `corners` (Q, 4, 3) with `uv` (Q, 4, 2).

    Without `normals` (Q, 4, 3) the quadrilaterals are flat.
    """
    if normals is None:
        normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        normals = np.repeat(normal[:, None], 4, axis=1)
    order = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(*(values[:, order].reshape(-1, 3, values.shape[-1]) for values in (corners, normals, uv)))


@cache
def _unit_box() -> tuple[Mesh, np.ndarray]:
    """Return the box of size 1 and, per corner of a face, which two of the three sizes stretch its uv."""
    ring = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    low, high = ([(*point, z) for point in ring] for z in (0.0, 1.0))
    sides = [[low[k], low[(k + 1) % 4], high[(k + 1) % 4], high[k]] for k in range(4)]
    uv = np.array([[(0, 0), (1, 0), (1, 1), (0, 1)]] * 6, float)
    sizes = np.array([(0, 2), (1, 2), (0, 2), (1, 2), (0, 1), (0, 1)])
    mesh = quads(np.array([*sides, high, low[::-1]], float), uv)
    return mesh, np.repeat(sizes, 2, axis=0)[:, None]


def box(size_x: float, size_y: float, size_z: float) -> Mesh:
    """Return a block centered on the z axis."""
    mesh, which = _unit_box()
    size = np.array([size_x, size_y, size_z])
    return Mesh(mesh.corners * size, mesh.normals, mesh.uv * size[which])


def lathe(profile: Sequence[tuple[float, float]], segments: int = 16, smooth: bool = False) -> Mesh:
    """Return the solid of revolution of `profile`, pairs of (radius, height), about the z axis.

    The profile runs from bottom to top on the outside (and down again on the inside of a vessel). `smooth`
    rounds its edges; around the axis the solid is always round.
    """
    points = np.array(profile, float)
    step = np.diff(points, axis=0)
    length = np.sqrt((step * step).sum(1))
    slope = np.stack([step[:, 1], -step[:, 0]], -1) / np.maximum(length, 1e-12)[:, None]
    lower, upper = _smooth_slopes(slope, points) if smooth else (slope, slope)
    angles, around = _circle(segments)
    bands = [_turned(pair, around) for pair in ((points[:-1], points[1:]), (lower, upper))]
    widest = np.maximum(np.maximum(points[:-1, 0], points[1:, 0]), 1e-3)
    traveled = np.concatenate([[0.0], np.cumsum(length)])
    rings = [
        np.stack(np.broadcast_arrays(widest[:, None] * angles, at[:, None]), -1) for at in (traveled[:-1], traveled[1:])
    ]
    corners, normals, uv = (
        np.stack([low[:, :-1], low[:, 1:], high[:, 1:], high[:, :-1]], 2).reshape(-1, 4, low.shape[-1])
        for low, high in (*bands, rings)
    )
    mesh = quads(corners, uv, normals)
    # At the axis one triangle of each pair has no area; nor have bands of no length.
    at_axis = points[:, 0] < 1e-12
    solid = np.stack([~at_axis[:-1], ~at_axis[1:]], -1) & (length > 1e-12)[:, None]
    kept = np.repeat(solid[:, None], segments, axis=1).ravel()
    return Mesh(mesh.corners[kept], mesh.normals[kept], mesh.uv[kept])


@cache
def _circle(segments: int) -> tuple[np.ndarray, np.ndarray]:
    angles = np.linspace(0, 2 * np.pi, segments + 1)
    return angles, np.stack([np.cos(angles), np.sin(angles)], -1)


def _turned(pair: tuple[np.ndarray, np.ndarray], around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rings (K, S + 1, 3) that (radius, height) pairs (K, 2) describe about the z axis."""
    rings = []
    for values in pair:
        ring = np.empty((len(values), len(around), 3))
        ring[..., :2] = around * values[:, :1, None]
        ring[..., 2] = values[:, 1:]
        rings.append(ring)
    return rings[0], rings[1]


def _smooth_slopes(slope: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at_points = np.concatenate([slope[:1], slope[:-1] + slope[1:], slope[-1:]])
    poles = points[:, 0] < 1e-9
    at_points[poles, 0] = 0.0
    at_points /= np.maximum(np.linalg.norm(at_points, axis=1, keepdims=True), 1e-12)
    return at_points[:-1], at_points[1:]


def cylinder(radius: float, height: float, segments: int = 16, top_radius: float | None = None) -> Mesh:
    """Return an upright cylinder, or with `top_radius` a truncated cone."""
    top = radius if top_radius is None else top_radius
    return lathe([(0.0, 0.0), (radius, 0.0), (top, height), (0.0, height)], segments)


def sphere(radius: float, segments: int = 16) -> Mesh:
    """Return a sphere centered on the origin."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    profile = np.stack([radius * np.cos(angles), radius * np.sin(angles)], -1)
    profile[[0, -1], 0] = 0.0
    return lathe([tuple(point) for point in profile], segments, smooth=True)


def torus(radius: float, thickness: float, segments: int = 20) -> Mesh:
    """Return a ring about the z axis: a tube of radius `thickness` along a circle of `radius`, centered on z = 0."""
    angles = np.linspace(0, 2 * np.pi, 9)
    profile = np.stack([radius + thickness * np.cos(angles), thickness * np.sin(angles)], -1)
    return lathe([tuple(point) for point in profile], segments, smooth=True)


def extruded(outline: Sequence[tuple[float, float]], depth: float) -> Mesh:
    """Return a prism: `outline`, (x, z) pairs counter-clockwise seen against y, stretched along y.

    The outline must be star-shaped about its mean point; the prism is centered on y = 0.
    """
    points = np.array(outline, float)
    following = np.roll(points, -1, axis=0)
    front, back = -depth / 2, depth / 2
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(following - points, axis=1))])

    def at(pairs: np.ndarray, y: float) -> np.ndarray:
        return np.stack([pairs[:, 0], np.full(len(pairs), y), pairs[:, 1]], -1)

    corners = np.stack([at(points, front), at(points, back), at(following, back), at(following, front)], 1)
    zero, full = np.zeros(len(points)), np.full(len(points), depth)
    coordinates = np.stack([zero, lengths[:-1], full, lengths[:-1], full, lengths[1:], zero, lengths[1:]], -1)
    sides = quads(corners, coordinates.reshape(-1, 4, 2))
    return joined(sides, _cap(points, following, at, front, 1), _cap(points, following, at, back, -1))


def _cap(points: np.ndarray, following: np.ndarray, at: object, y: float, facing: int) -> Mesh:
    center = np.broadcast_to(points.mean(0), points.shape)
    uv = np.stack([center, points, following], 1)
    corners = np.stack([at(part, y) for part in (center, points, following)], 1)
    normals = np.broadcast_to(np.array([0.0, -facing, 0.0]), corners.shape)
    return Mesh(corners[:, ::facing], normals, uv[:, ::facing])


def strip(low: np.ndarray, high: np.ndarray, depth: float) -> Mesh:
    """Return the solid between two lines, (y, z) pairs (K, 2) of growing y, stretched along x about x = 0."""
    front, back = depth / 2, -depth / 2

    def at(points: np.ndarray, x: float) -> np.ndarray:
        return np.concatenate([np.full((len(points), 1), x), points], 1)

    cells = np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1)
    faces = [np.concatenate([np.full((*cells.shape[:2], 1), x), cells], 2) for x in (front, back)]
    outline = np.concatenate([low, high[::-1]])
    following = np.roll(outline, -1, axis=0)
    rim = np.stack([at(outline, back), at(following, back), at(following, front), at(outline, front)], 1)
    ends = np.cumsum(np.sqrt(((following - outline) ** 2).sum(1)))
    starts, zero, full = ends - np.diff(ends, prepend=0), np.zeros(len(ends)), np.full(len(ends), depth)
    uv = np.stack([starts, zero, ends, zero, ends, full, starts, full], -1).reshape(-1, 4, 2)
    return joined(quads(faces[0], cells), quads(faces[1][:, ::-1], cells[:, ::-1]), quads(rim, uv))


def ground(heights: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> Mesh:
    """Return the smooth surface with `heights` (len(ys), len(xs)) over the grid `xs`, `ys`, facing up."""
    x, y = np.meshgrid(xs, ys)
    points = np.stack([x, y, heights], -1)
    along_x, along_y = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = np.cross(along_x, along_y)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)

    def cells(values: np.ndarray) -> np.ndarray:
        ring = (values[:-1, :-1], values[:-1, 1:], values[1:, 1:], values[1:, :-1])
        return np.stack(ring, 2).reshape(-1, 4, values.shape[-1])

    return quads(cells(points), cells(points[..., :2]), cells(normals))


def plane(x_range: tuple[float, float], y_range: tuple[float, float], z: float = 0.0) -> Mesh:
    """Return a flat rectangle facing up; its surface coordinates are x and y."""
    return ground(np.full((2, 2), z), np.array(x_range, float), np.array(y_range, float))


@cache
def _ball(detail: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (directions (V, 3), faces (F, 3)) of an octahedron divided `detail` times."""
    points = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    vertices = [np.array(point, float) for point in points]
    for _ in range(detail):
        middle: dict[tuple[int, int], int] = {}

        def between(a: int, b: int, middle: dict[tuple[int, int], int] = middle) -> int:
            pair = (min(a, b), max(a, b))
            if pair not in middle:
                point = vertices[a] + vertices[b]
                vertices.append(point / np.linalg.norm(point))
                middle[pair] = len(vertices) - 1
            return middle[pair]

        halves = [(a, b, c, between(a, b), between(b, c), between(c, a)) for a, b, c in faces]
        faces = [f for a, b, c, ab, bc, ca in halves for f in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return np.array(vertices), np.array(faces)


@cache
def _corners_by_vertex(detail: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of all faces in the order of their vertices, and where each vertex starts."""
    vertices, faces = _ball(detail)
    order = np.argsort(faces.ravel(), kind="stable")
    return order, np.searchsorted(faces.ravel()[order], np.arange(len(vertices)))


def blob(radius: float, rng: np.random.Generator, roughness: float = 0.25, detail: int = 2) -> Mesh:
    """Return an irregular round solid centered on the origin: foliage, rocks, fruit.

    `roughness` is the largest part of the radius by which the surface is pushed in or out.
    """
    directions, faces = _ball(detail)
    waves = rng.normal(size=(6, 3)) * np.array([1.5, 2, 3, 4, 5, 6])[:, None]
    phases = rng.uniform(0, 2 * np.pi, 6)
    swell = np.sin(directions @ waves.T + phases) @ np.array([0.3, 0.25, 0.15, 0.12, 0.1, 0.08])
    points = directions * (radius * (1 + roughness * swell))[:, None]
    corners = points[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    order, starts = _corners_by_vertex(detail)
    normals = np.add.reduceat(flat[order // 3], starts)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    uv = np.stack([azimuth, directions[:, 2] * 1.5], -1)[faces] * radius
    seam = np.ptp(uv[:, :, 0], axis=1) > np.pi * radius
    uv[seam, :, 0] += np.where(uv[seam, :, 0] < 0, 2 * np.pi * radius, 0.0)
    return Mesh(corners, normals[faces], uv)
