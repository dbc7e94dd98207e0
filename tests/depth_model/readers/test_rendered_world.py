"""The rendered world as its users see it: valid, exact, distinct and repeatable samples."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depth_model import readers, world
from depth_model.world import labels
from depth_model.world.tracing import Tracer

READER = readers.get("rendered_world")
OUTDOORS = ("streets", "hills", "night", "fog")
COUNT = 3


@pytest.fixture(scope="module", params=world.DOMAINS)
def domain(request):
    return request.param


@pytest.fixture(scope="module")
def samples(domain):
    return list(READER(domain=domain, count=COUNT, seed=11))


def decoded(sample):
    return np.asarray(Image.open(io.BytesIO(sample.image)))


def test_every_domain_yields_valid_samples(domain, samples):
    assert [sample.key for sample in samples] == [f"{domain}-11-{k:06d}" for k in range(COUNT)]
    for sample in samples:
        assert decoded(sample).shape == (192, 256, 3)
        assert sample.target.shape == sample.semantic.shape == (192, 256)
        assert sample.target.dtype == np.float32 and sample.semantic.dtype == np.uint8
        assert sample.target_kind == "metric_depth"
        known = sample.target[np.isfinite(sample.target)]
        assert known.min() > 0.1 and known.max() > 2 * known.min()
        assert len(np.unique(sample.semantic)) >= 3


def test_sky_is_what_has_no_depth_and_nothing_else(domain, samples):
    for sample in samples:
        np.testing.assert_array_equal(sample.semantic == labels.SKY, np.isnan(sample.target))
    if domain in ("rooms", "close_ups"):
        assert all(np.isfinite(sample.target).all() for sample in samples)
    if domain in OUTDOORS:
        assert any(np.isnan(sample.target).any() for sample in samples)


def test_same_seed_same_bytes_also_in_another_process():
    code = (
        "import sys, hashlib; from depth_model import readers\n"
        "for domain in sys.argv[1:]:\n"
        "    for s in readers.get('rendered_world')(domain=domain, count=1, seed=11):\n"
        "        print(hashlib.sha256(s.image + s.target.tobytes() + s.semantic.tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, *world.DOMAINS]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    here = [hash_of(sample) for domain in world.DOMAINS for sample in READER(domain=domain, count=1, seed=11)]
    assert printed == here


def hash_of(sample):
    return hashlib.sha256(sample.image + sample.target.tobytes() + sample.semantic.tobytes()).hexdigest()


def test_a_sample_does_not_depend_on_those_before_it(domain, samples):
    options = READER.options(domain=domain, count=COUNT, seed=11)
    last = list(READER.items("", options))[-1]
    assert hash_of(READER.load("", last, options)) == hash_of(samples[-1])


def test_other_seeds_and_indices_give_other_pictures(domain, samples):
    other = next(READER(domain=domain, count=1, seed=12))
    hashes = {hash_of(sample) for sample in (*samples, other)}
    assert len(hashes) == COUNT + 1


def test_depth_is_that_of_the_plane_of_the_triangle_seen(domain):
    """Independent of Embree: for pixels of level floors, depth follows from camera height and ray alone."""
    picture = world.render_sample(domain, 11, 0, 192, 256)
    x, y = np.meshgrid(np.arange(256), np.arange(192))
    rays = picture.camera.directions(192, 256, np.stack([x.ravel(), y.ravel()], -1)).reshape(192, 256, 3)
    points = picture.camera.position + rays * picture.depth[..., None].astype(np.float64)
    corners = picture.scene.mesh.corners.reshape(-1, 3)
    seen = np.isfinite(picture.depth)
    low, high = corners.min(0), corners.max(0)
    assert ((points[seen] > low - 0.01) & (points[seen] < high + 0.01)).all()
    np.testing.assert_allclose(
        (points[seen] - picture.camera.position) @ picture.camera.rotation[:, 2], picture.depth[seen], rtol=1e-5
    )


LEVEL = {"rooms": (labels.FLOOR, 0.0), "streets": (labels.ROAD, 0.0), "columns": (labels.FLOOR, 0.0)}


@pytest.mark.parametrize("domain", LEVEL)
def test_floor_depth_is_the_closed_form(domain):
    label, height = LEVEL[domain]
    compared = 0
    for index in range(4):
        picture = world.render_sample(domain, 3, index, 96, 128)
        rows, columns = np.nonzero(picture.semantic == label)
        ray = picture.camera.directions(96, 128, np.stack([columns, rows], -1))
        expected = (height - picture.camera.position[2]) / ray[:, 2]
        np.testing.assert_allclose(picture.depth[rows, columns], expected, rtol=1e-5)
        compared += len(rows)
    assert compared > 1000


def test_intrinsics_are_those_the_depth_was_made_with(domain, samples):
    picture = world.render_sample(domain, 11, 0, 192, 256)
    fx, fy, cx, cy = samples[0].intrinsics
    x, y = np.meshgrid(np.arange(256), np.arange(192))
    in_camera = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], -1)
    expected = picture.camera.directions(192, 256, np.stack([x.ravel(), y.ravel()], -1)).reshape(192, 256, 3)
    np.testing.assert_allclose(in_camera @ picture.camera.rotation.T, expected, atol=1e-9)
    assert np.deg2rad(30) < 2 * np.arctan(128 / fx) < np.deg2rad(95)


def test_no_camera_is_inside_a_solid(domain):
    picture = world.render_sample(domain, 11, 1, 192, 256)
    tracer = Tracer(picture.scene)
    x, y = np.meshgrid(np.arange(256), np.arange(192))
    rays = picture.camera.directions(192, 256, np.stack([x.ravel(), y.ravel()], -1))
    behind = tracer.from_behind(tracer.cast(np.broadcast_to(picture.camera.position, rays.shape), rays), rays)
    assert behind.mean() < 1e-3


def test_domains_are_distinct():
    def describe(domain):
        samples = list(READER(domain=domain, count=4, seed=5))
        classes = set(np.unique([sample.semantic for sample in samples]))
        brightness = np.mean([decoded(sample).mean() for sample in samples])
        return classes, brightness, np.nanmedian([sample.target for sample in samples])

    rooms, night, close, hills = (describe(name) for name in ("rooms", "night", "close_ups", "hills"))
    assert night[1] < 0.75 * min(rooms[1], close[1], hills[1])
    assert 2 * close[2] < rooms[2] and 2 * rooms[2] < hills[2]
    assert labels.CEILING not in hills[0] and labels.SKY not in rooms[0]


def test_size_changes_the_picture_and_not_the_view():
    small, large = (next(READER(domain="rooms", count=1, height=h, width=w)) for h, w in ((96, 128), (192, 256)))
    assert decoded(small).shape == (96, 128, 3)
    assert large.intrinsics[0] == pytest.approx(2 * small.intrinsics[0])
    pooled = large.target.reshape(96, 2, 128, 2).mean((1, 3))
    assert np.median(np.abs(pooled - small.target) / small.target) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain": "room", "count": 1}, r"domain = 'room': unknown \(allowed: rooms, streets"),
        ({"domain": "rooms", "count": -1}, "count = -1: must be at least 0"),
        ({"domain": "rooms", "count": 1, "height": 8}, "height = 8: must be at least 32"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        READER.options(**options)


def test_the_watch_entry_changes_with_options_and_code(tmp_path, monkeypatch):
    (first,) = READER.watch("", READER.options(domain="rooms", count=1))
    (same,) = READER.watch("", READER.options(domain="rooms", count=1))
    (more,) = READER.watch("", READER.options(domain="rooms", count=2))
    (other,) = READER.watch("", READER.options(domain="hills", count=1))
    assert first == same
    assert more["generator"] == first["generator"] != other["generator"]
    assert more["options"] != first["options"]
    copy = Path(shutil.copytree(Path(world.__file__).parent, tmp_path / "copy"))
    monkeypatch.setattr(world, "__file__", str(copy / "__init__.py"))
    with open(copy / "domains" / "rooms.py", "a") as handle:
        handle.write("# changed\n")
    assert world.generator_version("rooms") != first["generator"]
    assert world.generator_version("hills") == other["generator"]


def test_listing_needs_no_renderer():
    code = (
        "import sys; from depth_model import readers; r = readers.get('rendered_world'); "
        "o = r.options('rooms', 5); list(r.items('', o)); list(r.watch('', o)); "
        "sys.exit(any(name in sys.modules for name in ('cv2', 'embreex', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
