"""Ray casting with Embree: which triangle a ray meets first, and whether anything is in the way of light.

Embree works in float32; depth is computed again from the plane of the triangle in float64, so that labels are
exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_model.datasets.rendered_world.scene import Scene


@dataclass(frozen=True)
class Hits:
    """What N rays met: `face` (-1: nothing), `depth` along the ray in units of its direction (inf: nothing).

    The other fields hold only the rays that met something, numbered by `rays`: `points` (M, 3), geometric
    `flat` and interpolated `normals` (M, 3), surface coordinates `uv` (M, 2) and the axes `along_u`, `along_v`
    (M, 3) along which these grow.
    """

    face: np.ndarray
    depth: np.ndarray
    rays: np.ndarray
    points: np.ndarray
    flat: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    along_u: np.ndarray
    along_v: np.ndarray


class Tracer:
    """The solids of one scene, ready for rays."""

    def __init__(self, scene: Scene) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.scene = scene
        corners = scene.mesh.corners
        self._embree = EmbreeScene()
        vertices = np.ascontiguousarray(corners.reshape(-1, 3), np.float32)
        TriangleMesh(self._embree, vertices, np.arange(len(vertices), dtype=np.int32).reshape(-1, 3))
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        flat = np.cross(first, second)
        self._flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        self._along_u, self._along_v = _surface_axes(first, second, scene.mesh.uv)

    def hits(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Return what the rays from `origins` (N, 3) along `directions` (N, 3) meet first."""
        met = self._embree.run(_rays(origins), _rays(directions), query="INTERSECT", output=1)
        face = met["primID"]
        rays = np.flatnonzero(face >= 0)
        hit = face[rays]
        origin, direction = origins[rays], directions[rays]
        flat, corners = self._flat[hit], self.scene.mesh.corners[hit]
        along = np.einsum("ij,ij->i", corners[:, 0] - origin, flat) / np.einsum("ij,ij->i", direction, flat)
        depth = np.full(len(origins), np.inf)
        depth[rays] = along
        second, third = met["u"][rays, None], met["v"][rays, None]
        shares = np.stack([1 - second - third, second, third], 1)
        normals = (self.scene.mesh.normals[hit] * shares).sum(1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        uv = (self.scene.mesh.uv[hit] * shares).sum(1)
        points = origin + along[:, None] * direction
        return Hits(face, depth, rays, points, flat, normals, uv, self._along_u[hit], self._along_v[hit])

    def blocked(self, origins: np.ndarray, directions: np.ndarray, reach: np.ndarray | float) -> np.ndarray:
        """Return bool (N,): whether a ray meets anything before `reach`, in units of its direction."""
        limits = np.ascontiguousarray(np.broadcast_to(reach, len(origins)), np.float32)
        return self._embree.run(_rays(origins), _rays(directions), limits, query="OCCLUDED") >= 0

    def faces_back(self, hits: Hits, directions: np.ndarray) -> np.ndarray:
        """Return bool (M,): whether the ray met its triangle from behind, which means from inside a solid."""
        return np.einsum("ij,ij->i", directions[hits.rays], hits.flat) > 0


def _rays(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


def _surface_axes(first: np.ndarray, second: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)[:, None]
    along_u = (first * b[:, 1:] - second * a[:, 1:]) / area
    along_v = (second * a[:, :1] - first * b[:, :1]) / area
    return tuple(axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-12) for axis in (along_u, along_v))
