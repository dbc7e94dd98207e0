"""Sources in a bucket: the same collection as from a folder, also from a bucket that misbehaves."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.reading.collecting import collect_source
from depth_model.reading.reader import files_below
from depth_model.shards import store as store_module
from depth_model.shards.store import Bucket, StoreAway, StoreError

RGBD = {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 1000.0}
COUNT = 9


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(store_module, "_PAUSE", 0.001)


@pytest.fixture
def pictures(tmp_path):
    """A folder of pairs and of names that sort differently as keys of objects and as files in folders."""
    root = tmp_path / "local"
    generator = np.random.default_rng(1)
    names = ["a", "b", "a.x/c", "a/b", "a/b.c", "deep/er/d", "e f", "ü", "z"]
    for name in names:
        for folder, pixels in (("rgb", (24, 32, 3)), ("depth", (24, 32))):
            path = root / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = np.uint8 if folder == "rgb" else np.uint16
            Image.fromarray(generator.integers(1, 250, pixels).astype(kind)).save(path)
    return root


@pytest.fixture
def store(bucket, pictures):
    client, name, _ = bucket
    for path in pictures.rglob("*"):
        if path.is_file():
            client.put_object(Bucket=name, Key=f"set/{path.relative_to(pictures)}", Body=path.read_bytes())
    client.put_object(Bucket=name, Key="set/rgb/", Body=b"")
    client.put_object(Bucket=name, Key="set/.hidden/x.png", Body=b"x")
    client.put_object(Bucket=name, Key="set2/other.png", Body=b"x")
    return Bucket(f"s3://{name}/set")


def png(seed):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def collect(tmp_path, root, name, reader="image_folder", **options):
    chosen = readers.get(reader)
    settings = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 4, "workers": 1}
    collect_source(chosen, root, chosen.options(**options), tmp_path / f"s_{name}", tmp_path / name, **settings)
    return tmp_path / name


def samples(folder):
    """What is known of every sample but in which shard it lies, and the reasons of the quarantine."""
    table = pq.read_table(folder / "manifest.parquet").drop_columns(["shard"]).to_pylist()
    refused = pq.read_table(folder / "quarantine.parquet").to_pylist()
    return table, {row["source_path"]: row["reason"] for row in refused}


def images_below(root):
    return [entry["path"] for entry in files_below(root)]


def test_a_bucket_is_listed_in_the_order_of_a_folder_and_only_once(store, bucket, pictures):
    found = list(files_below(store))
    assert [entry["path"] for entry in found] == images_below(pictures)
    assert [entry["size"] for entry in found] == [(pictures / entry["path"]).stat().st_size for entry in found]
    assert all(len(entry["etag"]) == 32 for entry in found)
    list(files_below(store))
    assert sum(count for (_, path), count in bucket[2].asked.items() if "list-type" in path) == 1


def test_long_lists_come_page_by_page_also_when_a_page_fails(bucket):
    client, name, proxy = bucket
    for number in range(12):
        client.put_object(Bucket=name, Key=f"{number:02d}.png", Body=b"x")
    original = store_module.client()
    original.meta.events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 5})
    proxy.fault = lambda method, path, number: "truncate" if "continuation-token" in path and number < 2 else None
    assert len(list(files_below(Bucket(f"s3://{name}")))) == 12
    assert proxy.faults["truncate"] == 4


@pytest.mark.parametrize(
    ("reader", "options"),
    [("image_folder", {"pattern": "rgb/*.png"}), ("image_folder", {}), ("rgbd_folder", RGBD)],
)
def test_a_bucket_gives_the_collection_of_its_copy_on_disk(store, pictures, tmp_path, reader, options):
    local = collect(tmp_path, pictures, "from_disk", reader, **options)
    remote = collect(tmp_path, store, "from_bucket", reader, **options)
    assert samples(remote) == samples(local)


@pytest.mark.slow
def test_two_processes_read_a_bucket_as_one(store, tmp_path):
    reader = readers.get("image_folder")
    for workers in (1, 2):
        settings = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 4, "workers": workers}
        scratch, result = tmp_path / f"s{workers}", tmp_path / f"r{workers}"
        collect_source(reader, store.uri, reader.options(), scratch, result, **settings)
    for path in (tmp_path / "r1").iterdir():
        assert (tmp_path / "r2" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "fault", ["throttle", "corrupt", *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("truncate", "drop"))]
)
def test_trouble_that_passes_changes_nothing(store, bucket, tmp_path, fault):
    whole = samples(collect(tmp_path, store, "whole"))
    proxy = bucket[2]
    proxy.asked.clear()
    proxy.fault = lambda method, path, number: fault if path.endswith("/z.png") and number < 2 else None
    assert samples(collect(tmp_path, store, "troubled")) == whole
    assert proxy.faults[fault] == 2 * 2  # rgb/z.png and depth/z.png, twice each


@pytest.mark.parametrize(
    ("fault", "says"),
    [("throttle", "SlowDown"), ("truncate", "run the same command again"), ("drop", "run the same command again")],
)
def test_trouble_that_stays_is_one_clear_line_and_nothing_half_done(store, bucket, tmp_path, fault, says):
    proxy = bucket[2]
    proxy.fault = lambda method, path, number: fault if "deep" in path and method == "GET" else None
    with pytest.raises(StoreAway, match=says) as caught:
        collect(tmp_path, store, "stopped")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{store.uri}/")
    assert not (tmp_path / "stopped").exists()
    proxy.fault = lambda method, path, number: None
    resumed = samples(collect(tmp_path, store, "stopped"))
    assert resumed == samples(collect(tmp_path, store, "undisturbed"))


@pytest.mark.parametrize(("fault", "reason"), [("vanish", "vanished"), ("corrupt", "wrong checksum")])
def test_what_is_wrong_with_one_object_is_quarantined(store, bucket, tmp_path, fault, reason):
    bucket[2].fault = lambda method, path, number: fault if path.endswith("rgb/b.png") else None
    table, refused = samples(collect(tmp_path, store, "result"))
    assert len(table) + len(refused) == 2 * COUNT
    assert list(refused) == ["rgb/b.png"]
    assert reason in refused["rgb/b.png"]


@pytest.mark.slow
def test_a_bad_day_loses_nothing_and_keeps_nothing_half(store, bucket, pictures, tmp_path):
    client, name, proxy = bucket
    for number in range(40):
        client.put_object(Bucket=name, Key=f"set/rgb/more{number:02d}.png", Body=png(number))
    whole, _ = samples(collect(tmp_path, store, "whole"))
    gone = {f"rgb/more{number:02d}.png" for number in (7, 31)}

    def fault(method, path, number):
        if any(path.endswith(one) for one in gone):
            return "vanish"
        drawn = zlib.crc32(f"{method} {path.split('/', 2)[2:]}".encode())  # not the name of the bucket
        kinds = ("throttle", "truncate", "drop", "corrupt")
        return kinds[drawn // 3 % 4] if number < drawn % 3 else None  # none, the first, or the first two times

    proxy.asked.clear()
    proxy.faults.clear()
    proxy.fault = fault
    table, refused = samples(collect(tmp_path, store, "troubled"))
    assert min(proxy.faults[one] for one in ("throttle", "truncate", "drop", "corrupt", "vanish")) >= 2
    assert set(refused) == gone
    assert all("vanished" in reason for reason in refused.values())
    kept = [row for row in whole if row["source_path"] not in gone]
    assert [(row["key"], row["image_digest"]) for row in table] == [(row["key"], row["image_digest"]) for row in kept]
    assert len(table) + len(refused) == len(whole) == 2 * COUNT + 40


def test_expired_credentials_end_it_with_one_line_that_shows_no_secret(store, bucket, tmp_path):
    bucket[2].fault = lambda method, path, number: "expire"
    with pytest.raises(StoreError, match="credentials are expired or wrong") as caught:
        collect(tmp_path, store, "result")
    assert "test-secret" not in str(caught.value)
    assert not (tmp_path / "result").exists()


def test_no_server_no_bucket_and_no_credentials_are_named(store, bucket, monkeypatch):
    with pytest.raises(StoreError, match="no such bucket"):
        list(files_below(Bucket("s3://not-there/set")))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store_module._client_of.cache_clear()
    with pytest.raises(StoreError, match="set AWS_ACCESS_KEY_ID"):
        store.read("rgb/a.png")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store_module._client_of.cache_clear()
    with pytest.raises(StoreAway, match="Could not connect"):
        store.read("rgb/a.png")


def test_ranges_are_exact_or_refused(store, pictures):
    content = (pictures / "rgb/a.png").read_bytes()
    assert store.read_range("rgb/a.png", 10, 20) == content[10:30]
    with pytest.raises(BadInput, match="cut off"):
        store.read_range("rgb/a.png", len(content) - 5, 20)
    with pytest.raises(BadInput, match="shorter"):
        store.read_range("rgb/a.png", len(content) + 5, 20)


def test_an_upload_in_parts_is_whole_verified_and_made_once(store, bucket, tmp_path, monkeypatch):
    from depth_model import files

    monkeypatch.setattr(store_module, "_PART", 5 << 20)
    path = tmp_path / "shard.tar"
    path.write_bytes(np.random.default_rng(0).bytes(11 << 20))
    proxy, digest = bucket[2], files.sha256(path)
    proxy.fault = lambda method, url, number: "throttle" if method == "PUT" and number == 0 else None
    store.write("shards/one.tar", path, digest)
    assert proxy.faults["throttle"] >= 3
    assert store.read("shards/one.tar") == path.read_bytes()
    assert store.kept("shards/one.tar") == (11 << 20, digest)
    proxy.asked.clear()
    store.write("shards/one.tar", path, digest)
    assert {method for method, _ in proxy.asked} == {"HEAD"}


def test_an_upload_that_fails_leaves_no_object(store, bucket, tmp_path):
    path = tmp_path / "shard.tar"
    path.write_bytes(b"content")
    bucket[2].fault = lambda method, url, number: "drop" if method == "PUT" else None
    with pytest.raises(StoreError, match="run the same command again"):
        store.write("shards/one.tar", path, "0" * 64)
    bucket[2].fault = lambda method, url, number: None
    assert store.kept("shards/one.tar") is None


STARTED = """
import sys
from pathlib import Path
from depth_model import readers
from depth_model.reading.collecting import collect_source

if __name__ == "__main__":
    reader = readers.get("image_folder")
    collect_source(reader, sys.argv[1], reader.options(), Path(sys.argv[2]), Path(sys.argv[3]), max_side=64,
                   minimum_side=8, samples_per_shard=2, workers=1)
"""


@pytest.mark.slow
def test_killed_while_reading_a_bucket_it_ends_in_the_same_bytes(store, bucket, tmp_path, repository):
    script = tmp_path / "start.py"
    script.write_text(STARTED)
    environment = os.environ | {"PYTHONPATH": str(repository)}

    def command(name):
        return [sys.executable, script, store.uri, tmp_path / f"s_{name}", tmp_path / name]

    subprocess.run(command("whole"), env=environment, check=True)
    bucket[2].fault = lambda method, path, number: time.sleep(0.1)
    process = subprocess.Popen(command("killed"), env=environment)
    while not list((tmp_path / "s_killed").glob("shard-*.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    subprocess.run(command("killed"), env=environment, check=True)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "killed").iterdir()} == whole
