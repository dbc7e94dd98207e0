"""Light, shadow, fog and textures against what physics and arithmetic say."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.world import labels, noise
from depth_model.world.scene import Fog, Lamp, Material, Parts, Scene, Sun, Surroundings
from depth_model.world.shading import shade, smoothed, visibility
from depth_model.world.shapes import box, plane
from depth_model.world.textures import checker, hsv, plain, pulse, stripes, tiled
from depth_model.world.tracing import Tracer

GRAY = np.full(3, 0.5, np.float32)


def radiance(points: np.ndarray, lights: tuple, *, boxes: tuple = (), around: float = 0.0, fog: Fog | None = None):
    """What a camera three meters above each of `points` (N, 2) of a gray floor sees looking down."""
    parts = Parts(np.random.default_rng(0))
    parts.add(plane((-50, 50), (-50, 50)), Material(labels.FLOOR, plain(GRAY, variation=0.0)))
    for mesh in boxes:
        parts.add(mesh, Material(labels.BOX, plain(GRAY, variation=0.0)))
    even = np.full(3, around)
    scene = Scene(
        **parts.assembled(), lights=lights, surroundings=Surroundings(even, even, 2.0), view=None, near=0.1, fog=fog
    )
    tracer = Tracer(scene)
    origins = np.concatenate([points, np.full((len(points), 1), 3.0)], 1)
    directions = np.tile([0.0, 0, -1], (len(points), 1))
    hits = tracer.hits(origins, directions)
    seen = visibility(tracer, hits, origins[0], np.arange(len(points)) % 16, 8, 4)
    return shade(tracer, origins, directions, hits, seen, 1e-3)[:, 0]


def test_a_sun_lights_by_the_cosine_of_its_height():
    toward = np.array([np.cos(0.5), 0, np.sin(0.5)])
    bright = radiance(np.zeros((4, 2)), (Sun(toward, np.full(3, 2.0), 0.0),))
    np.testing.assert_allclose(bright, 0.5 * 2.0 * np.sin(0.5), rtol=1e-4)


def test_a_lamp_falls_off_with_the_square_of_the_distance():
    lamp = Lamp(np.array([0.0, 0, 2]), np.full(3, 3.0), 0.01)
    places = np.array([[0.0, 0], [1.5, 0]])
    squared = 4 + places[:, 0] ** 2
    np.testing.assert_allclose(radiance(places, (lamp,)), 0.5 * 3.0 / squared * (2 / np.sqrt(squared)), rtol=1e-3)


def test_a_shadow_lies_where_the_sun_throws_it():
    # A wall of height 2 at x = 0 under a sun from the left at 45 degrees shades the floor up to x = 2.
    toward = np.array([-1.0, 0, 1]) / np.sqrt(2)
    bright = radiance(
        np.array([[0.5, 0], [1.8, 0], [2.3, 0], [-1, 0]]), (Sun(toward, np.ones(3), 0.0),), boxes=(box(0.1, 20, 2),)
    )
    np.testing.assert_allclose(bright[:2], 0, atol=1e-6)
    assert (bright[2:] > 0.3).all()


def test_corners_receive_less_light_from_around():
    wall = box(1, 40, 20).moved((2.5, 0, 0))
    far, near = radiance(np.array([[-20.0, 0], [1.97, 0]]), (), boxes=(wall,), around=1.0)
    assert far == pytest.approx(0.5, rel=1e-3)
    assert near == pytest.approx(0.5 * (0.15 + 0.85 / 2), rel=0.15)  # half the hemisphere is wall


def test_fog_fades_exponentially_to_its_color():
    fog = Fog(0.4, np.full(3, 0.9))
    clear = radiance(np.zeros((1, 2)), (), around=1.0)[0]
    through = np.exp(-0.4 * 3)
    foggy = radiance(np.zeros((1, 2)), (), around=1.0, fog=fog)[0]
    assert foggy == pytest.approx(clear * through + 0.9 * (1 - through), rel=1e-4)


@pytest.mark.parametrize("kind", noise.KINDS)
def test_noise_repeats_at_whole_tiles_and_its_slopes_are_derivatives(kind):
    places = np.random.default_rng(0).uniform(-3, 3, (500, 2))
    near = np.zeros(500)
    value = noise.sample(kind, places, near)
    np.testing.assert_allclose(
        value, noise.sample(kind, places + np.array([2, -5]), near), atol=0.05 * np.abs(value).max()
    )
    assert 0 <= value[:, 0].min() and value[:, 0].max() <= 1
    step = 2 / noise.SIZE
    for axis in (0, 1):
        shift = np.eye(2)[axis] * step / 2
        rise = noise.sample(kind, places + shift, near)[:, 0] - noise.sample(kind, places - shift, near)[:, 0]
        assert np.corrcoef(rise / step, value[:, 1 + axis])[0, 1] > 0.9


def test_far_noise_is_smoother():
    places = np.random.default_rng(0).uniform(0, 1, (2000, 2))
    spread = [noise.sample("grain", places, np.full(2000, size))[:, 0].std() for size in (0.0, 4 / 256, 32 / 256)]
    assert spread[0] > spread[1] > spread[2]


def test_bars_are_averaged_over_the_pixel():
    x = np.random.default_rng(0).uniform(-20, 20, 200)
    fine = np.array([[((place + (k + 0.5) / 4000 - 0.5) % 1.0) < 0.3 for k in range(4000)] for place in x]).mean(1)
    np.testing.assert_allclose(pulse(x, 1.0, 0.3, np.full(200, 1.0)), fine, atol=2e-3)
    np.testing.assert_allclose(pulse(x, 1.0, 0.3, np.full(200, 500.0)), 0.3, atol=1e-2)
    assert set(np.rint(pulse(x, 1.0, 0.3, np.full(200, 1e-6)))) == {0.0, 1.0}


def test_patterns_have_their_colors_in_the_right_places():
    black, white = np.zeros(3, np.float32), np.ones(3, np.float32)
    sharp = np.full(2, 1e-4)
    np.testing.assert_allclose(
        stripes(white, black, 1.0)(np.array([[0.2, 0], [0.7, 0]]), sharp)[:, 0], [1, 0], atol=1e-3
    )
    squares = checker(black, white, 1.0)(np.array([[0.5, 0.5], [1.5, 0.5]]), sharp)[:, 0]
    np.testing.assert_allclose(squares, [1, 0], atol=1e-3)
    wall = tiled(plain(white, 0.0), black, (1.0, 0.5), 0.1, variation=0.0)
    np.testing.assert_allclose(wall(np.array([[0.5, 0.25], [0.05, 0.25]]), sharp)[:, 0], [1, 0], atol=1e-3)


def test_display_colors_become_linear():
    np.testing.assert_allclose(hsv(0.0, 1.0, 1.0), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(hsv(1 / 3, 1.0, 1.0), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(hsv(0.7, 0.0, 0.5), 0.5**2.2, rtol=1e-5)


def test_smoothing_stays_within_surfaces():
    rng = np.random.default_rng(0)
    guide = np.zeros((40, 40))
    guide[:, 20:] = 10.0
    truth = np.where(guide > 0, 0.9, 0.2)
    result = smoothed(truth + rng.normal(0, 0.1, truth.shape), guide)
    assert np.abs(result - truth).std() < 0.05
    assert result[:, 19].mean() < 0.3 and result[:, 20].mean() > 0.8
