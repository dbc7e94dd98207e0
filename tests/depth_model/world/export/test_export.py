"""Every layout gives back through its reader what was rendered, within the steps of its format."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import numpy as np
import pytest

from depth_model import readers
from depth_model.readers import da2k
from depth_model.shards.images import decode_rgb
from depth_model.world import export, labels

SIZE = (48, 64)
LISTS = {"nyu": "nyudepthv2_{}_files_with_gt.txt", "kitti": "kitti_eigen_{}_files_with_gt.txt"}
OPTIONS = {"diml": {"part": "outdoor"}, "blendedmvs": {"list": "BlendedMVG_training.txt"}}
SINGLE = {"sintel": "training", "eth3d": "training", "ibims": "test", "diml": "outdoor"}
"""Layouts of one split, where it is not called `all`; their readers have no option for it."""

STEP = {
    "nyu": 1e-3, "kitti": 1 / 256, "sun_rgbd": 1e-3, "ibims": 50 / 65535, "vkitti2": 1e-2, "diml": 1e-3,
    "seven_scenes": 1e-3, "tum_rgbd": 2e-4, "icl_nuim": 2e-4,
}  # fmt: skip
"""Meters between neighboring values of formats of whole numbers; the largest is 65535 steps."""
EXACT = ("eth3d", "diode", "blendedmvs", "tartanair")
CLASSES = ("ade20k", "cityscapes")
IMAGES = ("da2k", "google_landmarks", "imagenet21k", "objects365", "open_images", "places365", "sa1b")


@pytest.fixture(scope="module", autouse=True)
def rendered_once():
    """Every layout shows the same pictures: draw each of them once."""
    reader = import_module("depth_model.readers.rendered_world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "render_sample", cache(reader.render_sample))
        yield


@pytest.fixture(scope="module", params=export.names())
def exported(request, tmp_path_factory):
    """(name of a layout, its root, the two training and one other sample that were rendered)."""
    name, root = request.param, tmp_path_factory.mktemp(request.param)
    layout = export.get(name)
    done = []
    export.export_world(layout, "streets", counts(layout), 5, SIZE, root, lambda: done.append(1))
    assert len(done) == sum(counts(layout).values())
    world = readers.get("rendered_world")
    return name, root, list(world(domain="streets", count=len(done), seed=5, height=SIZE[0], width=SIZE[1]))


def counts(layout):
    return dict(zip(layout.splits, (2, 1)))


def read(name, root, **options):
    return list(readers.get(name)(root, **(OPTIONS.get(name, {}) | options)))


def both(name, root):
    splits = export.get(name).splits
    if len(splits) == 1:
        assert splits == (SINGLE.get(name, "all"),)
        return read(name, root)
    return [sample for split in splits for sample in read(name, root, split=split)]


def test_splits_hold_different_pictures_in_order(exported):
    name, root, rendered = exported
    found = both(name, root)
    assert len(found) == len(rendered)
    for sample, original in zip(found, rendered, strict=True):
        np.testing.assert_array_equal(decode_rgb(sample.image), decode_rgb(original.image))


def test_depth_comes_back_within_what_the_format_can_hold(exported):
    name, root, rendered = exported
    if name in CLASSES + IMAGES:
        pytest.skip("a set without depth")
    for sample, original in zip(both(name, root), rendered, strict=True):
        compare(name, sample.target, original.target)


def compare(name, found, depth):
    unknown = np.isnan(depth)
    if name in STEP:
        step = STEP[name]
        fits = depth < 65534 * step
        assert abs(found[fits] - depth[fits]).max() <= step / 2 + 1e-5
        assert np.isnan(found[~fits]).all()
    elif name in EXACT:
        np.testing.assert_array_equal(found, depth)
    elif name == "sintel":
        np.testing.assert_array_equal(found[~unknown], depth[~unknown])
        assert (found[unknown] == np.float32(1e8)).all()
    elif name == "ddad":
        points = np.zeros_like(unknown)
        points[::2, ::2] = True
        np.testing.assert_array_equal(np.isfinite(found), points & ~unknown)
        np.testing.assert_allclose(found[points & ~unknown], depth[points & ~unknown], rtol=1e-6)
    elif name == "hypersim":
        np.testing.assert_array_equal(np.isnan(found), unknown)
        np.testing.assert_allclose(found[~unknown], depth[~unknown], rtol=1e-3)  # half precision
    elif name == "irs":
        assert (found[unknown] == 0).all()
        np.testing.assert_allclose(480 * 0.1 / found[~unknown], depth[~unknown], rtol=1e-5)
    elif name == "hrwsi":
        slope, shift = np.polyfit(found[~unknown], 1 / depth[~unknown], 1)
        assert abs(slope * found[~unknown] + shift - 1 / depth[~unknown]).max() < slope
        assert np.isnan(found[unknown]).all()
    elif name == "megadepth":
        kept = np.isfinite(found)
        np.testing.assert_array_equal(found[kept], depth[kept])
        assert 0.95 < kept.sum() / (~unknown).sum() < 0.99
    else:
        assert name == "middlebury"
        np.testing.assert_array_equal(np.isnan(found), unknown)
        # Disparity is stored with an offset, so that far depth loses digits of float32.
        np.testing.assert_allclose(found[~unknown], depth[~unknown], rtol=1e-4)


def test_list_files_name_the_same_images_in_the_released_form(exported):
    name, root, _ = exported
    if name not in LISTS:
        pytest.skip("a set without list files")
    first, second = export.get(name).splits
    for split, word in ((first, "train"), (second, "test")):
        listed = LISTS[name].format(word)
        assert all(len(line.split()) == 3 for line in (root / listed).read_text().splitlines())
        by_list = [sample.source_path for sample in read(name, root, list=listed)]
        assert by_list == [sample.source_path for sample in read(name, root, split=split)]


def test_layouts_with_a_camera_per_picture_keep_it(exported):
    name, root, rendered = exported
    if name not in ("kitti", "sintel", "ddad", "sun_rgbd", "ibims", "hypersim", "blendedmvs", "middlebury"):
        pytest.skip("one camera for all, or none")
    for sample, original in zip(both(name, root), rendered, strict=True):
        assert sample.intrinsics == pytest.approx(original.intrinsics)


def test_classes_come_back(exported):
    name, root, rendered = exported
    if name not in CLASSES:
        pytest.skip("a set of depth")
    for sample, original in zip(both(name, root), rendered, strict=True):
        if name == "ade20k":
            np.testing.assert_array_equal(sample.semantic, original.semantic)
        else:
            pairs = {labels.ROAD: 0, labels.BUILDING: 2, labels.SKY: 10, labels.CAR: 13, labels.WINDOW_PANE: 255}
            for ours, theirs in pairs.items():
                assert (sample.semantic[original.semantic == ours] == theirs).all()


def test_the_same_arguments_give_the_same_bytes(exported, tmp_path):
    name, root, _ = exported
    layout = export.get(name)
    export.export_world(layout, "streets", counts(layout), 5, SIZE, tmp_path, lambda: None)
    for path in sorted(one for one in root.rglob("*") if one.is_file()):
        assert (tmp_path / path.relative_to(root)).read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["google_landmarks", "sintel"])
def test_neither_does_the_number_of_processes_change_them(name, tmp_path):
    layout = export.get(name)
    for workers in (1, 2):
        export.export_world(layout, "rooms", counts(layout), 5, SIZE, tmp_path / str(workers), lambda: None, workers)
    written = [one.relative_to(tmp_path / "1") for one in (tmp_path / "1").rglob("*") if one.is_file()]
    assert written
    for path in written:
        assert (tmp_path / "2" / path).read_bytes() == (tmp_path / "1" / path).read_bytes()


def test_pairs_of_points_say_which_is_nearer(exported):
    name, root, rendered = exported
    if name != "da2k":
        pytest.skip("another layout")
    listed = list(da2k.pairs(root).values())
    assert len(listed) == len(rendered)
    for (pair,), original in zip(listed, rendered, strict=True):
        assert original.target[pair.closer] < original.target[pair.farther]


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(KeyError, match="there are: ade20k"):
        export.get("nowhere")
    with pytest.raises(ValueError, match="has no split 'test'"):
        export.export_world(export.get("kitti"), "streets", {"test": 1}, 0, SIZE, tmp_path, lambda: None)
