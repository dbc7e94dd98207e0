"""Solids are closed and face outwards; rays find them where arithmetic says."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.world import labels, outdoors
from depth_model.world.domains.columns import _arcade
from depth_model.world.picture import render
from depth_model.world.scene import Camera, Material, Parts, Scene, Sun, Surroundings, looking
from depth_model.world.shapes import Mesh, blob, box, cylinder, extruded, ground, lathe, plane, sphere, strip, torus
from depth_model.world.textures import plain
from depth_model.world.tracing import Tracer


def volume(mesh: Mesh) -> float:
    """By the divergence theorem: right only if the mesh is closed and its faces wind outwards."""
    a, b, c = (mesh.corners[:, k] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


RING = np.pi * (1 - 0.81)
SOLIDS = {
    "box": (box(1, 2, 3), 6.0),
    "cylinder": (cylinder(1, 2, 200), 2 * np.pi),
    "cone": (cylinder(1, 3, 200, 0.0), np.pi),
    "sphere": (sphere(1, 200), 4 / 3 * np.pi),
    "vessel": (lathe([(0, 0), (1, 0), (1, 1), (0.9, 1), (0.9, 0.1), (0, 0.1)], 200), np.pi * 0.1 + RING * 0.9),
    "torus": (torus(1, 0.2, 200), 8 * 0.5 * np.sin(np.pi / 4) * 0.2**2 * 2 * np.pi),  # an octagon's area, once round
    "prism": (extruded([(-1, 0), (1, 0), (0, 1)], 3), 3.0),
    "turned prism": (extruded([(0, 0), (2, 0), (2, 1), (0, 1)], 3).turned(0.7).turned(0.4, "x"), 6.0),
    "strip": (strip(np.array([[0, 0], [1, 1], [2, 0]]), np.array([[0, 2], [1, 2], [2, 2]]), 0.5), 1.5),
    "stretched": (box(1, 1, 1).scaled((2, 3, 0.5)), 3.0),
    "resized": (box(1, 1, 1).resized(2.0).moved((5, 6, 7)), 8.0),
    "inside out": (box(1, 1, 1).flipped(), -1.0),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_closed_with_the_volume_of_the_formula(name):
    mesh, expected = SOLIDS[name]
    assert volume(mesh) == pytest.approx(expected, rel=2e-3)
    assert volume(mesh.moved((10, -20, 30))) == pytest.approx(expected, rel=2e-3)  # holds for closed meshes only


@pytest.mark.parametrize("name", SOLIDS)
def test_normals_point_to_the_side_the_faces_show(name):
    mesh, _ = SOLIDS[name]
    flat = np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0])
    cosine = np.einsum("fi,fki->fk", flat / np.linalg.norm(flat, axis=1, keepdims=True), mesh.normals)
    assert cosine.min() > 0.9
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=2), 1, atol=1e-9)


def test_irregular_solids_are_closed():
    rng = np.random.default_rng(5)
    for mesh in (blob(1, rng, 0.3), outdoors.ragged(blob(1, rng, 0.3), rng, 0.1), _arcade(4.0, 2.5, 0.3)):
        assert volume(mesh) > 0.5
        assert volume(mesh.moved((50, 50, 50))) == pytest.approx(volume(mesh), rel=1e-6)


def test_surface_coordinates_are_meters():
    for mesh in (box(2, 3, 4), plane((0, 5), (0, 7)), extruded([(0, 0), (2, 0), (2, 1), (0, 1)], 3)):
        sides = np.linalg.norm(mesh.corners - np.roll(mesh.corners, 1, axis=1), axis=2)
        np.testing.assert_allclose(np.linalg.norm(mesh.uv - np.roll(mesh.uv, 1, axis=1), axis=2), sides, atol=1e-9)


def scene(*meshes: Mesh) -> Scene:
    parts = Parts(np.random.default_rng(0))
    material = Material(labels.FLOOR, plain(np.full(3, 0.5)))
    for mesh in meshes:
        parts.add(mesh, material)
    return Scene(
        **parts.assembled(),
        lights=(Sun(np.array([0.0, 0, 1]), np.ones(3)),),
        surroundings=Surroundings(np.ones(3), np.ones(3), 1.0),
        view=lambda rng: None,
        near=0.1,
    )


def pixel_rays(camera: Camera, height: int, width: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return camera.directions(height, width, np.stack([x.ravel(), y.ravel()], -1)).reshape(height, width, 3)


def test_depth_of_a_floor_is_the_closed_form():
    camera = looking((0.3, -1, 1.7), 0.3, -0.4, 0.1, np.deg2rad(60))
    picture = render(Tracer(scene(plane((-500, 500), (-500, 500)))), camera, np.random.default_rng(0), 60, 80)
    rays = pixel_rays(camera, 60, 80)
    expected = np.where(rays[..., 2] < 0, -1.7 / rays[..., 2], np.nan)
    seen = np.isfinite(picture.depth)
    assert seen.mean() > 0.8
    np.testing.assert_allclose(picture.depth[seen], expected[seen], rtol=1e-6)
    np.testing.assert_array_equal(picture.semantic == labels.SKY, ~seen)


def test_planar_depth_of_a_wall_is_constant_where_distance_is_not():
    wall = box(40, 1, 40).moved((0, 5.5, -20))
    picture = render(Tracer(scene(wall)), looking((0, 0, 0), 0, 0, 0, np.deg2rad(80)), np.random.default_rng(0), 48, 64)
    np.testing.assert_allclose(picture.depth, 5.0, rtol=1e-6)


def test_a_box_covers_the_pixels_the_intrinsics_say():
    camera = looking((0, 0, 0), 0, 0, 0, np.deg2rad(90))
    height, width = 100, 100
    fx, fy, cx, cy = camera.intrinsics(height, width)
    assert (fx, fy, cx, cy) == pytest.approx((50, 50, 49.5, 49.5))
    # x 0.5 to 1.5, depth 4 to 5, z -1 to 0: the left side ends at the back, the right side and the foot in front.
    picture = render(Tracer(scene(box(1, 1, 1).moved((1, 4.5, -1)))), camera, np.random.default_rng(0), height, width)
    rows, columns = np.nonzero(np.isfinite(picture.depth))
    assert (columns.min(), columns.max()) == (int(np.ceil(cx + fx * 0.5 / 5)), int(np.floor(cx + fx * 1.5 / 4)))
    assert (rows.min(), rows.max()) == (int(np.ceil(cy)), int(np.floor(cy + fy * 1 / 4)))


def test_headings_pitches_and_rolls_turn_as_documented():
    level = looking((0, 0, 0), 0, 0, 0, 1.0).rotation
    np.testing.assert_allclose(level, [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)
    assert looking((0, 0, 0), 0.3, 0, 0, 1.0).rotation[0, 2] < 0  # to the left
    assert looking((0, 0, 0), 0, 0.3, 0, 1.0).rotation[2, 2] > 0  # upwards
    assert looking((0, 0, 0), 0, 0, 0.3, 1.0).rotation[0, 1] < 0  # the camera's down swings left: it leans right
    for angles in ((0.5, 0.2, 0.1), (-2, -1, 3)):
        rotation = looking((0, 0, 0), *angles, 1.0).rotation
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_ray_from_inside_a_solid_meets_a_back_face():
    tracer = Tracer(scene(box(2, 2, 2)))
    directions = np.array([[0.0, 1, 0], [1, 0.2, 0.1]])
    inside, outside = np.full((2, 3), [0, 0, 1.0]), np.full((2, 3), [-5, -5, 1.0])
    assert tracer.from_behind(tracer.cast(inside, directions), directions).all()
    toward = np.array([[1.0, 1, 0], [0, -1, 0]])
    cast = tracer.cast(outside, toward)
    assert cast.face[0] >= 0 > cast.face[1] and np.isinf(cast.depth[1])
    assert not tracer.from_behind(cast, toward).any()


def test_light_is_blocked_by_what_lies_between_and_by_nothing_else():
    tracer = Tracer(scene(box(1, 1, 1).moved((0, 5, -0.5))))
    origins, directions = np.zeros((3, 3)), np.array([[0.0, 10, 0], [0.0, 4, 0], [0.0, -10, 0]])
    np.testing.assert_array_equal(tracer.blocked(origins, directions, 1.0), [True, False, False])


def test_ground_follows_its_heights():
    xs, ys = np.linspace(-2, 2, 9), np.linspace(-1, 3, 7)
    mesh = ground(0.5 * np.add.outer(ys, xs), xs, ys)
    np.testing.assert_allclose(mesh.corners[..., 2], 0.5 * (mesh.corners[..., 0] + mesh.corners[..., 1]), atol=1e-12)
    expected = np.array([-0.5, -0.5, 1]) / np.sqrt(1.5)
    np.testing.assert_allclose(mesh.normals, np.broadcast_to(expected, mesh.normals.shape), atol=1e-9)
