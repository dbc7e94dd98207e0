"""A collected source gives back what went in; sidecars repeat its shards and survive interruptions."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from depth_model.shards import rasters
from depth_model.shards.source import SidecarFolder, SourceFolder, finished_shards, join_sidecar, write_sidecar_shard


def test_samples_come_back_as_they_were(pairs):
    content, folder = pairs
    source = SourceFolder(folder)
    assert len(source) == 7
    assert source.target_kind == "metric_depth"
    for index, (image, depth) in content.items():
        assert source.key(index) == f"{index:03d}"
        assert np.array_equal(source.image(index), image)
        target = source.target(index)
        assert np.array_equal(np.isnan(target), depth == 0)
        assert np.array_equal(np.nan_to_num(target * 1000).round(), depth)
        assert source.semantic(index) is None
        assert source.intrinsics(index) is None


def test_shards_partition_the_rows_in_order(pairs):
    shards = SourceFolder(pairs[1]).shards()
    assert np.concatenate([rows for _, rows in shards]).tolist() == list(range(7))
    assert [len(rows) in (2, 3) for _, rows in shards[:-1]] == [True, True]
    for name, rows in shards:
        with tarfile.open(pairs[1] / name) as archive:
            assert {member.split(".")[0] for member in archive.getnames()} == {f"{row:03d}" for row in rows}


def test_an_empty_source_is_fine(tmp_path, collect):
    (tmp_path / "nothing").mkdir()
    source = SourceFolder(collect("image_folder", tmp_path / "nothing"))
    assert (len(source), source.shards(), source.target_kind) == (0, [], None)
    join_sidecar(tmp_path / "scratch", tmp_path / "sidecar", source)
    assert len(SidecarFolder(tmp_path / "sidecar")) == 0


def masks(rows) -> list[np.ndarray]:
    return [np.random.default_rng(int(row)).random((36, 48)) < 0.5 for row in rows]


def write_all(scratch, source, skip=()):
    for name, rows in source.shards():
        if name not in skip:
            chosen = masks(rows)
            columns = {"sky_fraction": [float(mask.mean()) for mask in chosen]}
            encoded = (rasters.encode_mask(mask) for mask in chosen)
            write_sidecar_shard(scratch, source, name, "sky.png", encoded, columns)


def test_a_sidecar_repeats_keys_and_order_of_its_source(pairs, tmp_path):
    source = SourceFolder(pairs[1])
    write_all(tmp_path / "work", source)
    join_sidecar(tmp_path / "work", tmp_path / "sky", source)
    sidecar = SidecarFolder(tmp_path / "sky")
    assert sidecar.sidecar["key"].tolist() == source.manifest["key"].tolist()
    for index, mask in enumerate(masks(range(7))):
        assert np.array_equal(sidecar.raster(index), mask)
        assert sidecar.sidecar["sky_fraction"][index] == mask.mean()
    name, rows = source.shards()[1]
    with tarfile.open(tmp_path / "sky" / name) as archive:
        assert archive.getnames() == [f"{row:03d}.sky.png" for row in rows]


def test_missing_shards_are_named_and_finished_ones_not_made_again(pairs, tmp_path):
    source = SourceFolder(pairs[1])
    work = tmp_path / "work"
    first, second, *others = [name for name, _ in source.shards()]
    write_all(work, source, skip=[second])
    assert finished_shards(work) == {first, *others}
    with pytest.raises(ValueError, match=f"1 shards are not finished: {second}"):
        join_sidecar(work, tmp_path / "sky", source)

    def untouched():
        raise AssertionError("a finished shard was made again")
        yield b""

    write_sidecar_shard(work, source, first, "sky.png", untouched(), {})
    write_all(work, source)
    join_sidecar(work, tmp_path / "sky", source)
    write_all(tmp_path / "undisturbed", source)
    join_sidecar(tmp_path / "undisturbed", tmp_path / "other", source)
    for path in (tmp_path / "other").iterdir():
        assert (tmp_path / "sky" / path.name).read_bytes() == path.read_bytes()


def test_an_interrupted_sidecar_shard_is_not_finished(pairs, tmp_path):
    source = SourceFolder(pairs[1])

    def broken():
        yield rasters.encode_mask(masks([0])[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sidecar_shard(tmp_path / "work", source, source.shards()[0][0], "sky.png", broken(), {})
    assert finished_shards(tmp_path / "work") == set()


@pytest.mark.parametrize("count", [1, 4])
def test_a_sidecar_of_another_length_is_refused(pairs, tmp_path, count):
    source = SourceFolder(pairs[1])
    encoded = [rasters.encode_mask(mask) for mask in masks(range(count))]
    with pytest.raises(ValueError, match="argument"):
        write_sidecar_shard(tmp_path / "work", source, source.shards()[0][0], "sky.png", encoded, {})
    assert finished_shards(tmp_path / "work") == set()


def test_columns_that_are_empty_in_one_shard_join_with_numbers(pairs, tmp_path):
    source = SourceFolder(pairs[1])
    nothing = np.full((4, 5), np.nan, np.float32)
    first, rows_of_first = source.shards()[0]
    for name, rows in source.shards():
        lowest = [None] * len(rows) if name == first else [0.5] * len(rows)
        encoded = [rasters.encode_quantized(nothing, 14)] * len(rows)
        write_sidecar_shard(tmp_path / "work", source, name, "target.dar", encoded, {"minimum": lowest})
    join_sidecar(tmp_path / "work", tmp_path / "pseudo", source)
    sidecar = SidecarFolder(tmp_path / "pseudo")
    assert sidecar.sidecar["minimum"].isna().tolist() == [row in rows_of_first for row in range(7)]
    assert sidecar.raster(6).shape == (4, 5)
