"""Shards in a bucket: collected straight into it, read from it, also when it misbehaves or a process is killed."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.reading import collecting
from depth_model.shards import manifest, rasters, shard_store
from depth_model.shards import store as store_module
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SidecarFolder, SourceFolder, join_sidecar, write_sidecar_shard
from depth_model.shards.store import Bucket, StoreError

COUNT = 7
OPTIONS = {"color": "c/*.png", "depth": "d/*.png", "unit": 1000.0}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(store_module, "_PAUSE", 0.001)
    monkeypatch.setenv(shard_store.FOLDER, str(tmp_path / "cache"))
    monkeypatch.delenv(shard_store.GIGABYTES, raising=False)


@pytest.fixture
def pairs(tmp_path):
    generator = np.random.default_rng(2)
    for folder, pixels, kind in (("c", (24, 32, 3), np.uint8), ("d", (24, 32), np.uint16)):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        for number in range(COUNT):
            image = Image.fromarray(generator.integers(1, 250, pixels).astype(kind))
            image.save(tmp_path / "pairs" / folder / f"{number}.png")
    (tmp_path / "pairs" / "c" / "3.png").write_bytes(b"no picture")
    return tmp_path / "pairs"


@pytest.fixture
def store(bucket):
    return Bucket(f"s3://{bucket[1]}/shards")


def collect(tmp_path, root, name, store=None, **more):
    """Collect `root` into `tmp_path/data/labeled/<name>`; the scratch folder is that of the same name."""
    reader, result = readers.get("rgbd_folder"), tmp_path / "data" / "labeled" / name
    settings = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 2, "workers": 1} | more
    scratch = tmp_path / f"scratch_{name}"
    collecting.collect_source(reader, root, reader.options(**OPTIONS), scratch, result, store=store, **settings)
    return result


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def objects(bucket):
    """Name -> content of all objects, past the proxy."""
    client, name, _ = bucket
    listed = client.list_objects_v2(Bucket=name).get("Contents", [])
    return {one["Key"]: client.get_object(Bucket=name, Key=one["Key"])["Body"].read() for one in listed}


def everything(source):
    rows = range(len(source))
    return [(source.key(row), source.image_bytes(row), source.target(row).tobytes()) for row in rows]


def methods(proxy):
    return {method for method, _ in proxy.asked}


def pool(tmp_path, name, sidecar=None):
    return SamplePool(tmp_path / "data", "labeled", {name: {"samples": COUNT - 1}}, sidecar)


def loaded(pool):
    return [(one.key, one.image.tobytes(), one.target.tobytes()) for one in map(pool.load, range(len(pool)))]


def test_a_collection_in_a_bucket_is_that_of_a_folder(pairs, bucket, store, tmp_path):
    local, remote = collect(tmp_path, pairs, "local"), collect(tmp_path, pairs, "remote", store)
    tables = {"manifest.parquet", "quarantine.parquet", "statistics.json"}
    assert {path.name for path in remote.iterdir()} == tables
    for name in tables - {"manifest.parquet"}:
        assert (remote / name).read_bytes() == (local / name).read_bytes()
    assert pq.read_table(remote / "manifest.parquet").equals(pq.read_table(local / "manifest.parquet"))
    kept = {entry["name"]: entry for entry in manifest.metadata(remote / "manifest.parquet")["shards"]}
    found = objects(bucket)
    assert len(found) == len(kept) > 2
    for path in local.glob("*.tar"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert found[f"shards/{digest}.tar"] == path.read_bytes()
        assert kept[path.name]["uri"] == f"{store.uri}/{digest}.tar"
    assert not list((tmp_path / "scratch_remote").glob("*.tar"))
    assert everything(SourceFolder(remote)) == everything(SourceFolder(local))
    assert loaded(pool(tmp_path, "remote")) == loaded(pool(tmp_path, "local"))


def test_shards_are_fetched_once_when_they_fit_the_cache_and_read_by_range_when_not(
    pairs, bucket, store, tmp_path, monkeypatch
):
    source, proxy = SourceFolder(collect(tmp_path, pairs, "remote", store)), bucket[2]
    whole = everything(source)
    assert len(list((tmp_path / "cache").glob("*.tar"))) == len(source.shards())
    proxy.asked.clear()
    assert everything(SourceFolder(source.folder)) == whole
    assert not proxy.asked
    monkeypatch.setenv(shard_store.GIGABYTES, "1e-6")
    assert everything(SourceFolder(source.folder)) == whole
    assert sum(proxy.asked.values()) == 2 * (COUNT - 1)  # image and target of each
    first = SourceFolder(source.folder)
    largest = max(entry["size"] for entry in manifest.metadata(source.folder / "manifest.parquet")["shards"])
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setenv(shard_store.GIGABYTES, str(largest / 1e9))
    proxy.asked.clear()
    for shard, _ in first.shards():  # one after the other each fits, and pushes the one before out
        assert everything(first.part(shard))
        assert len(list((tmp_path / "cache").glob("*.tar"))) == 1


def test_tables_that_are_read_together_share_the_cache(pairs, store, tmp_path, monkeypatch):
    collect(tmp_path, pairs, "remote", store)
    sidecar(tmp_path, "remote", store)
    size = sum(
        entry["size"]
        for table in (tmp_path / "data").rglob("*.parquet")
        for entry in manifest.metadata(table).get("shards", [])
    )
    for room, expected in ((size, {True}), (size - 1, {False})):
        monkeypatch.setenv(shard_store.GIGABYTES, str(room / 1e9))
        one = pool(tmp_path, "remote", "pseudo")
        assert {reader.whole for source in one._sources for reader in source.readers()} == expected
        assert len(loaded(one)) == COUNT - 1


def sidecar(tmp_path, name, store=None):
    source = SourceFolder(tmp_path / "data" / "labeled" / name)
    scratch, result = tmp_path / f"labels_{name}", tmp_path / "data" / "pseudo" / name
    for shard, rows in source.shards():
        labels = [rasters.encode_quantized(np.full((4, 6), 1 + row, np.float32), 14) for row in rows]
        write_sidecar_shard(scratch, source, shard, "target.dar", labels, {"row": rows}, store)
    join_sidecar(scratch, result, source)
    return SidecarFolder(result)


def test_annotations_lie_in_the_bucket_too(pairs, bucket, store, tmp_path):
    for name, place in (("local", None), ("remote", store)):
        collect(tmp_path, pairs, name, place)
        annotated = sidecar(tmp_path, name, place)
        assert [annotated.raster(row).tolist() for row in range(COUNT - 1)] == [
            np.full((4, 6), 1.0 + row).tolist() for row in range(COUNT - 1)
        ]
    assert [path.name for path in annotated.folder.iterdir()] == ["sidecar.parquet"]
    assert loaded(pool(tmp_path, "remote", "pseudo")) == loaded(pool(tmp_path, "local", "pseudo"))
    assert len(objects(bucket)) == 2 * len(SourceFolder(tmp_path / "data/labeled/remote").shards())


def test_what_lies_there_is_not_uploaded_again(pairs, bucket, store, tmp_path, monkeypatch):
    first, proxy = content(collect(tmp_path, pairs, "first", store)), bucket[2]
    proxy.asked.clear()
    assert content(collect(tmp_path, pairs, "anew", store)) == first
    assert methods(proxy) == {"HEAD"}
    proxy.asked.clear()
    monkeypatch.setattr(collecting, "_read", None)  # what is taken over is not read
    assert content(collect(tmp_path, pairs, "taken_over", store, earlier=[tmp_path / "scratch_first"])) == first
    assert methods(proxy) == {"HEAD"}


def test_a_shard_that_vanished_is_made_again(pairs, bucket, store, tmp_path):
    first = content(collect(tmp_path, pairs, "result", store))
    whole = objects(bucket)
    client, name, _ = bucket
    client.delete_object(Bucket=name, Key=min(whole))
    entries = manifest.metadata(tmp_path / "data/labeled/result/manifest.parquet")["shards"]
    assert shard_store.missing(tmp_path, entries) == 1
    assert content(collect(tmp_path, pairs, "result", store)) == first
    assert objects(bucket) == whole
    assert shard_store.missing(tmp_path, entries) == 0


@pytest.mark.parametrize(
    ("fault", "gigabytes"),
    [
        ("throttle", "1"),
        pytest.param("drop", "1e-6", marks=pytest.mark.slow),
        ("truncate", "1"),
        pytest.param("truncate", "1e-6", marks=pytest.mark.slow),
        pytest.param("corrupt", "1", marks=pytest.mark.slow),
        ("corrupt", "1e-6"),
    ],
)
def test_reading_outlasts_trouble_that_passes(pairs, bucket, store, tmp_path, monkeypatch, fault, gigabytes):
    whole = everything(SourceFolder(collect(tmp_path, pairs, "local")))
    source, proxy = collect(tmp_path, pairs, "remote", store), bucket[2]
    monkeypatch.setenv(shard_store.GIGABYTES, gigabytes)
    proxy.asked.clear()
    proxy.fault = lambda method, path, number: fault if method == "GET" and number == 0 else None
    assert everything(SourceFolder(source)) == whole
    assert proxy.faults[fault] > 2


@pytest.mark.parametrize(
    ("fault", "kind", "says", "gigabytes"),
    [
        ("corrupt", BadInput, "wrong checksum", "1"),
        ("corrupt", BadInput, "wrong checksum", "1e-6"),
        ("vanish", BadInput, "vanished from the store", "1"),
        ("expire", StoreError, "credentials are expired", "1"),
        ("drop", StoreError, "run the same command again", "1e-6"),
    ],
)
def test_reading_ends_with_one_line_that_names_the_shard(
    pairs, bucket, store, tmp_path, monkeypatch, fault, kind, says, gigabytes
):
    source = SourceFolder(collect(tmp_path, pairs, "remote", store))
    monkeypatch.setenv(shard_store.GIGABYTES, gigabytes)
    bucket[2].fault = lambda method, path, number: fault if "/shards/" in path else None
    with pytest.raises(kind, match=says) as caught:
        SourceFolder(source.folder).image_bytes(0)
    assert store.uri in str(caught.value)
    assert "\n" not in str(caught.value) and "test-secret" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("*.tar"))


def test_an_upload_that_fails_ends_the_collection_and_goes_on_later(pairs, bucket, store, tmp_path):
    proxy = bucket[2]
    put = []

    def fault(method, path, number):
        if method == "PUT":
            put.append(path)
        return "drop" if method == "PUT" and len(set(put)) > 2 else None

    proxy.fault = fault
    with pytest.raises(StoreError, match="run the same command again"):
        collect(tmp_path, pairs, "stopped", store)
    assert not (tmp_path / "data/labeled/stopped").exists()
    assert len(objects(bucket)) == 2
    proxy.fault = lambda method, path, number: None
    proxy.asked.clear()
    resumed = content(collect(tmp_path, pairs, "stopped", store))
    assert sum(count for (method, _), count in proxy.asked.items() if method == "PUT") == len(objects(bucket)) - 2
    assert resumed == content(collect(tmp_path, pairs, "undisturbed", store))


def test_a_full_disk_and_a_wrong_size_of_the_cache_are_named(pairs, store, tmp_path, monkeypatch):
    source = collect(tmp_path, pairs, "remote", store)
    monkeypatch.setenv(shard_store.GIGABYTES, "many")
    with pytest.raises(StoreError, match="DEPTH_ANYTHING_SHARD_CACHE_GB = 'many'"):
        SourceFolder(source)
    monkeypatch.delenv(shard_store.GIGABYTES)
    (tmp_path / "occupied").write_text("a file where a folder should be")
    monkeypatch.setenv(shard_store.FOLDER, str(tmp_path / "occupied"))
    with pytest.raises(StoreError, match="name another folder by DEPTH_ANYTHING_SHARD_CACHE"):
        SourceFolder(source).image_bytes(0)


STARTED = """
import sys
from pathlib import Path
from depth_model import readers
from depth_model.shards import store
from depth_model.reading.collecting import collect_source

if __name__ == "__main__":
    store._PART = 5 << 20
    reader = readers.get("image_folder")
    collect_source(reader, sys.argv[1], reader.options(), Path(sys.argv[3]), Path(sys.argv[4]), max_side=4000,
                   minimum_side=8, samples_per_shard=2, workers=1, store=store.Bucket(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_in_the_middle_of_an_upload_it_ends_in_the_same_bytes(bucket, store, tmp_path, repository):
    (tmp_path / "pictures").mkdir()
    for number in range(4):  # about 8 MB each: a shard goes up in parts
        noise = np.random.default_rng(number).integers(0, 256, (1700, 1700, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "pictures" / f"{number}.bmp")
    (tmp_path / "start.py").write_text(STARTED)
    environment = os.environ | {"PYTHONPATH": str(repository)}

    def command(name):
        scratch, result = tmp_path / f"s_{name}", tmp_path / name
        return [sys.executable, tmp_path / "start.py", tmp_path / "pictures", store.uri, scratch, result]

    parts = []

    def slow_from_the_second_shard_on(method, path, number):
        if "partNumber" in path:
            parts.append(path.partition("?")[0])
            if len(set(parts)) > 1:
                time.sleep(3)

    bucket[2].fault = slow_from_the_second_shard_on
    process = subprocess.Popen(command("killed"), env=environment)
    while len(set(parts)) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    bucket[2].fault = lambda method, path, number: None
    [(name, only)] = objects(bucket).items()  # the shard in the works is not seen at all
    assert name == f"shards/{hashlib.sha256(only).hexdigest()}.tar"
    assert not (tmp_path / "killed").exists()
    subprocess.run(command("killed"), env=environment, check=True)
    found = objects(bucket)
    assert len(found) == len(manifest.metadata(tmp_path / "killed" / "manifest.parquet")["shards"]) > 1
    assert all(name == f"shards/{hashlib.sha256(data).hexdigest()}.tar" for name, data in found.items())
    bucket[2].asked.clear()
    subprocess.run(command("whole"), env=environment, check=True)
    assert methods(bucket[2]) == {"HEAD"}
    assert content(tmp_path / "whole") == content(tmp_path / "killed")
