"""Ray casting with Embree: which triangle a ray meets first, and whether anything is in the way of light.

Embree works in float32; depth is computed again from the plane of the triangle in float64, so that labels are
exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_model.world.scene import Scene


@dataclass(frozen=True)
class Cast:
    """What N rays met: `face` int (-1: nothing) and `depth` float64 along the ray in units of its direction (inf)."""

    face: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Hits(Cast):
    """A cast with what shading needs of the M rays that met something, numbered by `rays`.

    float32 (M, 3): `points`, geometric normals `flat` and interpolated `normals`; `uv` (M, 2) are surface
    coordinates in meters.
    """

    rays: np.ndarray
    points: np.ndarray
    flat: np.ndarray
    normals: np.ndarray
    uv: np.ndarray


class Tracer:
    """The solids of one scene, ready for rays."""

    def __init__(self, scene: Scene) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.scene = scene
        corners = scene.mesh.corners
        self._embree = EmbreeScene()
        TriangleMesh(self._embree, corners.astype(np.float32))
        self._edges = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        flat = np.cross(*self._edges)
        self._plane = flat / np.sqrt(np.einsum("ij,ij->i", flat, flat))[:, None]
        self._offset = np.einsum("ij,ij->i", self._plane, corners[:, 0])
        self._normals = scene.mesh.normals.astype(np.float32)

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Cast:
        """Return what the rays from `origins` (N, 3) along `directions` (N, 3) meet first."""
        face = self._embree.run(_rays(origins), _rays(directions), query="INTERSECT")
        rays = np.flatnonzero(face >= 0)
        return Cast(face, self._depth(face, rays, origins, directions))

    def hits(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Return what the rays from `origins` (N, 3) along `directions` (N, 3) meet first, with its surface."""
        met = self._embree.run(_rays(origins), _rays(directions), query="INTERSECT", output=1)
        face = met["primID"]
        rays = np.flatnonzero(face >= 0)
        hit = face[rays]
        depth = self._depth(face, rays, origins, directions)
        second, third = met["u"][rays, None], met["v"][rays, None]
        shares = 1 - second - third, second, third
        normals = _mixed(shares, self._normals[hit])
        normals /= np.sqrt(np.einsum("mc,mc->m", normals, normals))[:, None]
        uv = _mixed(shares, self.scene.mesh.uv[hit])
        points = (origins[rays] + depth[rays, None] * directions[rays]).astype(np.float32)
        return Hits(face, depth, rays, points, self._plane[hit].astype(np.float32), normals, uv)

    def _depth(self, face: np.ndarray, rays: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        plane = self._plane[face[rays]]
        gap = self._offset[face[rays]] - np.einsum("ij,ij->i", origins[rays], plane)
        depth = np.full(len(origins), np.inf)
        depth[rays] = gap / np.einsum("ij,ij->i", directions[rays], plane)
        return depth

    def blocked(self, origins: np.ndarray, directions: np.ndarray, reach: np.ndarray | float) -> np.ndarray:
        """Return bool (N,): whether a ray meets anything before `reach`, in units of its direction."""
        limits = np.empty(len(origins), np.float32)
        limits[:] = reach
        return self._embree.run(_rays(origins), _rays(directions), limits, query="OCCLUDED") >= 0

    def from_behind(self, cast: Cast, directions: np.ndarray) -> np.ndarray:
        """Return bool (N,): whether the ray met its triangle from behind, which means from inside a solid."""
        return (cast.face >= 0) & (np.einsum("ij,ij->i", directions, self._plane[cast.face]) > 0)

    def surface_axes(self, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the unit vectors (M, 3) along which u and v grow on the triangles `face` (M,)."""
        first, second = (edge[face] for edge in self._edges)
        uv = self.scene.mesh.uv[face]
        a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        facing = np.sign(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])[:, None]
        return _unit((first * b[:, 1:] - second * a[:, 1:]) * facing), _unit(
            (second * a[:, :1] - first * b[:, :1]) * facing
        )


def _mixed(shares: tuple[np.ndarray, ...], at_corners: np.ndarray) -> np.ndarray:
    # Several times as fast as one einsum over the axis of three.
    return sum(share * at_corners[:, corner] for corner, share in enumerate(shares))


def _rays(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return (vectors / np.maximum(lengths, 1e-12)[:, None]).astype(np.float32)
