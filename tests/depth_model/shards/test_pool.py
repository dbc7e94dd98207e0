"""The pool: plain concatenation in catalog order, with the sidecar of every sample."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from depth_model.errors import UserError
from depth_model.shards import rasters
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard


@pytest.fixture
def data(tmp_path, pairs, collect):
    """data/ with the labeled sources `pairs` (7 samples), `empty` and `gray` (2, no target)."""
    (tmp_path / "empty").mkdir()
    collect("image_folder", tmp_path / "empty", "data/labeled/empty", "scratch_empty")
    (tmp_path / "gray").mkdir()
    for value in (10, 200):
        Image.new("RGB", (40, 30), (value,) * 3).save(tmp_path / "gray" / f"{value}.png")
    collect("image_folder", tmp_path / "gray", "data/labeled/gray", "scratch_gray")
    return tmp_path / "data"


CATALOG = {"gray": {"samples": 2}, "empty": {"samples": 0}, "pairs": {"samples": 7}}


def add_sidecar(data, kind, suffix, encode):
    for name in CATALOG:
        source = SourceFolder(data / "labeled" / name)
        work = data / "work" / kind / name
        for shard, rows in source.shards():
            encoded = [encode(source.image(int(row)).shape[:2], int(row)) for row in rows]
            write_sidecar_shard(work, source, shard, suffix, encoded, {})
        join_sidecar(work, data / kind / name, source)


def test_sources_follow_each_other_in_catalog_order(data, pairs):
    pool = SamplePool(data, "labeled", CATALOG)
    assert len(pool) == 9
    loaded = [pool.load(index) for index in range(9)]
    assert [sample.source for sample in loaded] == ["gray"] * 2 + ["pairs"] * 7
    assert [sample.key for sample in loaded] == ["10", "200"] + [f"{number:03d}" for number in range(7)]
    assert (loaded[1].image == 200).all()
    assert loaded[1].target is None
    assert loaded[1].target_kind is None
    for number, (image, depth) in pairs[0].items():
        assert np.array_equal(loaded[2 + number].image, image)
        assert np.array_equal(np.isnan(loaded[2 + number].target), depth == 0)
        assert loaded[2 + number].target_kind == "metric_depth"
        assert loaded[2 + number].sky is None
    loaded[0].image[:] = 0  # what is loaded may be changed


@pytest.mark.parametrize("index", [-1, 9])
def test_a_number_out_of_range_is_an_error(data, index):
    with pytest.raises(IndexError):
        SamplePool(data, "labeled", CATALOG).load(index)


def test_an_empty_catalog_is_an_empty_pool(tmp_path):
    assert len(SamplePool(tmp_path, "labeled", {})) == 0


def test_only_what_the_catalog_lists_is_read(data):
    pool = SamplePool(data, "labeled", {"pairs": {"samples": 7}})
    assert len(pool) == 7
    with pytest.raises(UserError, match="7 samples, the catalog says 8"):
        SamplePool(data, "labeled", {"pairs": {"samples": 8}})


def excluded(path, *places):
    pq.write_table(pa.table({"source": [one[0] for one in places], "key": [one[1] for one in places]}), path)
    return path


def test_what_is_excluded_is_left_out_and_the_rest_keeps_its_order_and_sidecar(data):
    add_sidecar(data, "sky", "sky.png", lambda shape, row: rasters.encode_mask(np.full(shape, row % 2 == 0)))
    exclusions = excluded(data / "exclusions.parquet", ("gray", "200"), ("pairs", "000"), ("pairs", "004"))
    pool = SamplePool(data, "labeled", CATALOG, "sky", exclusions)
    loaded = [pool.load(index) for index in range(len(pool))]
    assert [sample.key for sample in loaded] == ["10", "001", "002", "003", "005", "006"]
    assert [bool(sample.sky.all()) for sample in loaded] == [True, False, True, False, False, True]
    with pytest.raises(IndexError):
        pool.load(6)


def test_no_exclusion_leaves_everything_and_a_stale_one_is_refused(data):
    nothing = pa.table({"source": pa.array([], pa.string()), "key": pa.array([], pa.string())})
    pq.write_table(nothing, data / "nothing.parquet")
    assert len(SamplePool(data, "labeled", CATALOG, exclusions=data / "nothing.parquet")) == 9
    stale = excluded(data / "stale.parquet", ("gray", "200"), ("gray", "201"))
    with pytest.raises(UserError, match="1 of 2 name no sample"):
        SamplePool(data, "labeled", CATALOG, exclusions=stale)


def test_sky_comes_with_every_sample(data):
    def left_columns(shape, row):
        mask = np.zeros(shape, bool)
        mask[:, : row + 1] = True
        return rasters.encode_mask(mask)

    add_sidecar(data, "sky", "sky.png", left_columns)
    pool = SamplePool(data, "labeled", CATALOG, "sky")
    assert [int(pool.load(index).sky[0].sum()) for index in range(9)] == [1, 2, 1, 2, 3, 4, 5, 6, 7]
    assert pool.load(0).sky.shape == (30, 40)
    assert pool.load(2).target is not None


def test_pseudo_labels_take_the_place_of_targets(data):
    def label(shape, row):
        values = np.linspace(0, row + 1, 14 * 28, dtype=np.float32).reshape(14, 28)
        values[0, 0] = np.nan
        return rasters.encode_quantized(values, 10 + row % 4)

    add_sidecar(data, "pseudo", "target.dar", label)
    pool = SamplePool(data, "labeled", CATALOG, "pseudo")
    for index, row in enumerate([0, 1, *range(7)]):
        sample = pool.load(index)
        assert sample.target.shape == (14, 28)
        assert sample.target.dtype == np.uint16
        assert (sample.target[0, 0], sample.target[0, 1], sample.target.max()) == (0, 1, 2 ** (10 + row % 4) - 1)
        assert np.array_equal(np.sort(sample.target, axis=None), sample.target.ravel())
        assert sample.target_kind == "affine_disparity"


def test_a_sidecar_of_other_samples_is_refused(data):
    add_sidecar(data, "sky", "sky.png", lambda shape, row: rasters.encode_mask(np.zeros(shape, bool)))
    (data / "sky" / "pairs").rename(data / "sky" / "old")
    (data / "sky" / "gray").rename(data / "sky" / "pairs")
    with pytest.raises(UserError, match="keys differ"):
        SamplePool(data, "labeled", {"pairs": {"samples": 7}}, "sky")


def test_sky_has_the_size_of_the_target_of_a_scaled_image(tmp_path, collect, pairs):
    folder = collect(
        "rgbd_folder",
        tmp_path / "pairs",
        "scaled/labeled/pairs",
        "scratch_scaled",
        max_side=24,
        color="rgb/*.png",
        depth="depth/*.png",
        unit=1000,
    )
    source = SourceFolder(folder)
    left = np.zeros((18, 24), bool)
    left[:9, :12] = True
    for name, rows in source.shards():
        encoded = [rasters.encode_mask(left)] * len(rows)
        write_sidecar_shard(tmp_path / "work", source, name, "sky.png", encoded, {})
    join_sidecar(tmp_path / "work", tmp_path / "scaled" / "sky" / "pairs", source)
    sample = SamplePool(tmp_path / "scaled", "labeled", {"pairs": {"samples": 7}}, "sky").load(3)
    assert sample.image.shape == (18, 24, 3)
    assert sample.target.shape == (36, 48)
    expected = np.zeros((36, 48), bool)
    expected[:18, :24] = True
    assert np.array_equal(sample.sky, expected)
