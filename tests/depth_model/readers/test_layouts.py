"""What the contract does not reach: other layouts and options of the same data set."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.readers.megadepth import cleaned

from .layouts import blendedmvs, diml, hrwsi, middlebury, save_picture, seven_scenes, tartanair


def keys(name, root, **options):
    reader = readers.get(name)
    return [item.key for item in reader.listed(root, reader.options(**options))]


def test_blendedmvs_without_a_list_reads_every_project(tmp_path):
    blendedmvs.write(tmp_path)
    found = keys("blendedmvs", tmp_path)
    assert len(found) == 6
    assert not any("masked" in key for key in found)
    first = next(readers.get("blendedmvs")(tmp_path))
    assert first.intrinsics == (575.25, 576.5, 383.5, 287.25)


@pytest.mark.parametrize(
    ("line", "reason"), [("5b6eff8b67b396324c5b2672 lost gone", "2 of them"), ("../up", "no name of a project")]
)
def test_blendedmvs_lists_that_name_what_is_not_there(tmp_path, line, reason):
    blendedmvs.write(tmp_path)
    (tmp_path / "list.txt").write_text(line.replace(" ", "\n"))
    with pytest.raises(BadInput, match=reason):
        keys("blendedmvs", tmp_path, list="list.txt")


def test_diml_indoors_takes_the_ending_of_each_batch(tmp_path):
    expected = diml.write_indoor(tmp_path)
    refused = {}
    reader = readers.get("diml")
    found = list(reader(tmp_path, part="indoor", on_rejected=lambda item, why: refused.update({item.source_path: why})))
    for batch, sample in zip(expected, found, strict=True):
        assert f"/{batch}/" in sample.source_path
        np.testing.assert_array_equal(sample.target, expected[batch])
    assert list(refused.values()) == [
        "16. Billiard Hall/160224/2/up_png/in_00_160224_000002_*.png is missing",
    ]
    with pytest.raises(BadInput, match=r"no \*/\*/\*/raw_png"):
        keys("diml", tmp_path, part="indoor", depth="raw_png")


@pytest.mark.parametrize("part", ["sample_indoor", "sample_outdoor"])
def test_diml_samples_in_both_resolutions(tmp_path, part):
    expected = diml.write_samples(tmp_path)
    for resolution, target in expected.items():
        (sample,) = readers.get("diml")(tmp_path, part=part, resolution=resolution)
        assert sample.key.startswith(resolution)
        np.testing.assert_array_equal(sample.target, target)


def test_diml_confidence_is_a_share():
    with pytest.raises(ValueError, match="confidence = 90"):
        readers.get("diml").options(part="outdoor", confidence=90)


def test_hrwsi_validation(tmp_path):
    hrwsi.write(tmp_path)
    assert keys("hrwsi", tmp_path, split="val") == ["val/web_3"]


def test_megadepth_cleaning_against_sorting():
    depth = np.random.default_rng(0).permutation(1000).astype(np.float32) + 1
    kept = cleaned(depth.reshape(40, 25))
    # Of 1 ... 1000: percentile 1 is 10.99, percentile 98 is 980.02.
    assert sorted(kept[np.isfinite(kept)]) == list(range(11, 981))
    ten = np.arange(10, dtype=np.float32).reshape(2, 5)
    assert cleaned(ten) is ten


def test_tartanair_by_difficulty(tmp_path):
    tartanair.write(tmp_path)
    assert keys("tartanair", tmp_path, difficulty="Hard") == ["oldtown/Hard/P011/000000"]
    assert keys("tartanair", tmp_path, difficulty="Easy", exclude=("amusement",)) == [
        "ocean/Easy/P000/000000",
        "oldtown/Easy/P000/000000",
    ]


def test_seven_scenes_splits_and_all(tmp_path):
    seven_scenes.write(tmp_path)
    train, test = (keys("seven_scenes", tmp_path, split=split) for split in ("train", "test"))
    assert [key.split("/")[1] for key in (*train, *test)] == ["seq-01", "seq-01", "seq-11", "seq-11"]
    assert keys("seven_scenes", tmp_path) == train + test
    save_picture(tmp_path / "stairs" / "seq-01" / "frame-000000.color.png")
    with pytest.raises(BadInput, match=r"stairs/TrainSplit.txt is missing"):
        keys("seven_scenes", tmp_path, split="train")


def test_middlebury_of_2003(tmp_path):
    expected = middlebury.write_2003(tmp_path)
    (sample,) = readers.get("middlebury")(tmp_path, release="2003")
    assert sample.target_kind == "disparity"
    np.testing.assert_array_equal(sample.target, expected)
    with pytest.raises(BadInput, match=r"no \*/im0.png"):
        keys("middlebury", tmp_path)
