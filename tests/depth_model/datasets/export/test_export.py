"""Every layout gives back through its reader what was rendered, within the steps of its format."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.datasets import export, readers
from depth_model.datasets.images import decode_rgb
from depth_model.datasets.rendered_world import labels

SIZE = (48, 64)
STEP = {"nyu": 1 / 1000, "kitti": 1 / 256}
LISTS = {"nyu": "nyudepthv2_{}_files_with_gt.txt", "kitti": "kitti_eigen_{}_files_with_gt.txt"}


@pytest.fixture(scope="module", params=export.names())
def exported(request, tmp_path_factory):
    """(name of a layout, its root, the two training and one other sample that were rendered)."""
    name, root = request.param, tmp_path_factory.mktemp(request.param)
    layout = export.get(name)
    counts = dict(zip(layout.splits, (2, 1), strict=True))
    done = []
    export.export_world(layout, "streets", counts, 5, SIZE, root, lambda: done.append(1))
    assert len(done) == 3
    world = readers.get("rendered_world")
    return name, root, list(world(domain="streets", count=3, seed=5, height=SIZE[0], width=SIZE[1]))


def read(name, root, **options):
    return list(readers.get(name)(root, **options))


def both(name, root):
    return [sample for split in export.get(name).splits for sample in read(name, root, split=split)]


def test_splits_hold_different_pictures_in_order(exported):
    name, root, rendered = exported
    first, second = export.get(name).splits
    for split, expected in ((first, rendered[:2]), (second, rendered[2:])):
        found = read(name, root, split=split)
        assert len(found) == len(expected)
        for sample, original in zip(found, expected, strict=True):
            difference = decode_rgb(sample.image).astype(int) - decode_rgb(original.image)
            assert abs(difference).max() == 0


def test_depth_comes_back_within_a_step(exported):
    name, root, rendered = exported
    if name not in STEP:
        pytest.skip("a set of classes")
    for sample, original in zip(both(name, root), rendered, strict=True):
        near = original.target < 65
        assert np.isnan(sample.target[np.isnan(original.target)]).all()
        assert abs(sample.target[near] - original.target[near]).max() <= STEP[name] / 2 + 1e-5


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


def test_kitti_has_the_camera_of_every_picture(exported):
    name, root, rendered = exported
    if name != "kitti":
        pytest.skip("another layout")
    for sample, original in zip(both(name, root), rendered, strict=True):
        assert sample.intrinsics == pytest.approx(original.intrinsics)


def test_classes_come_back(exported):
    name, root, rendered = exported
    if name not in ("ade20k", "cityscapes"):
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
    counts = dict(zip(layout.splits, (2, 1), strict=True))
    export.export_world(layout, "streets", counts, 5, SIZE, tmp_path, lambda: None)
    for path in sorted(one for one in root.rglob("*") if one.is_file()):
        assert (tmp_path / path.relative_to(root)).read_bytes() == path.read_bytes()


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(KeyError, match="there are: ade20k"):
        export.get("nowhere")
    with pytest.raises(ValueError, match="has no split 'test'"):
        export.export_world(export.get("kitti"), "streets", {"test": 1}, 0, SIZE, tmp_path, lambda: None)
