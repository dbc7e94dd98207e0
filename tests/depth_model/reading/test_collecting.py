"""Collecting: nothing lost, nothing twice, the same bytes however it was interrupted or shared out."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from depth_model.errors import BadInput, UserError
from depth_model.reading.collecting import collect_source
from depth_model.reading.reader import Reader
from depth_model.shards import rasters
from depth_model.shards.sample import Item, Sample
from depth_model.shards.source import SourceFolder
from tests.processes import lives, wait_for

RGBD = {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 1000.0}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def quarantine(folder: Path) -> dict[str, str]:
    rows = pq.read_table(folder / "quarantine.parquet").to_pylist()
    assert len({row["source_path"] for row in rows}) == len(rows)
    return {row["source_path"]: row["reason"] for row in rows}


def save(path: Path, pixels, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def wild_folder(tmp_path) -> Path:
    """Everything that people keep in a folder of pictures."""
    root = tmp_path / "wild"
    colors = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "good.jpg", colors)
    save(root / "rotated.jpg", colors, exif=exif)
    save(root / "palette.png", np.zeros((40, 60), np.uint8))
    Image.fromarray(colors).quantize(8).save(root / "palette.png")
    save(root / "transparent.png", np.dstack([colors, colors[:, :, :1]]))
    save(root / "gray16.png", np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27)
    frames = [Image.fromarray(np.roll(colors, step, axis=1)) for step in range(3)]
    frames[0].save(root / "animated.webp", save_all=True, append_images=frames[1:])
    save(root / "a.tiff", colors)
    save(root / "b.bmp", colors)
    save(root / "with space.jpg", colors)
    save(root / "large.png", np.zeros((90, 300, 3), np.uint8) + np.arange(300, dtype=np.uint8)[None, :, None] % 251)
    good = (root / "good.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(good[: len(good) * 3 // 4])
    (root / "zero.png").touch()
    (root / "text.jpg").write_text("no image at all")
    save(root / "tiny.png", np.zeros((1, 1), np.uint8))
    (tmp_path / "outside.jpg").write_bytes(good)
    (root / "outside.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "notes.txt").write_text("not an input")
    return root


def test_good_and_bad_pictures_end_where_they_belong(wild_folder, collect):
    folder = collect("image_folder", wild_folder, max_side=200)
    source, refused = SourceFolder(folder), quarantine(folder)
    kept = set(source.manifest["source_path"])
    assert kept == {
        *("good.jpg", "rotated.jpg", "palette.png", "transparent.png", "gray16.png", "animated.webp"),
        *("a.tiff", "b.bmp", "with space.jpg", "large.png"),
    }
    reasons = {
        "cut.jpg": "damaged image",
        "zero.png": "empty file",
        "text.jpg": "not an image",
        "tiny.png": "image of 1 x 1 pixels: collect.minimum_side is 8",
        "outside.jpg": "out of the root",
        "dangling.jpg": "a dangling link",
        "notes.txt": "its name fits no pattern",
    }
    assert set(refused) == set(reasons)
    for path, reason in reasons.items():
        assert reason in refused[path]
    for index in range(len(source)):
        row = source.manifest.iloc[index]
        assert source.image(index).shape == (row["height"], row["width"], 3)
        if row["source_path"] not in ("rotated.jpg", "large.png"):
            assert source.image_bytes(index) == (wild_folder / row["source_path"]).read_bytes()
    sizes = source.manifest.set_index("source_path")[["height", "width"]]
    assert sizes.loc["rotated.jpg"].tolist() == [60, 40]
    assert sizes.loc["large.png"].tolist() == [60, 200]


def test_any_tar_reader_finds_every_sample(pairs):
    content, folder = pairs
    found = {}
    for path in sorted(folder.glob("shard-*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                key, suffix = member.name.split(".", 1)
                found.setdefault(key, {})[suffix] = archive.extractfile(member).read()
    assert sorted(found) == [f"{number:03d}" for number in content]
    for key, members in found.items():
        number = int(key)
        assert list(members) == ["png", "target.dar"]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(members["png"]))), content[number][0])
        depth = np.nan_to_num(rasters.decode(members["target.dar"]) * 1000).round()
        assert np.array_equal(depth, content[number][1])


def test_the_manifest_says_what_is_in_the_targets(pairs):
    content, folder = pairs
    table = SourceFolder(folder).manifest
    for number, (_, depth) in content.items():
        row = table.iloc[number]
        assert row["valid_fraction"] == np.float32((depth > 0).mean())
        assert row["minimum"] == np.float32(depth[depth > 0].min() / 1000)
        assert row["maximum"] == np.float32(depth.max() / 1000)
        assert (row["codec"], row["target_kind"]) == ("integer", "metric_depth")
        assert row["source_path"] == f"rgb/{number:03d}.png"


def test_bad_depth_ends_in_the_quarantine(tmp_path, collect):
    root = tmp_path / "bad"
    depths = {
        "good": np.arange(1, 401).reshape(20, 20),
        "none": np.zeros((20, 20)),
        "other_size": np.arange(1, 201).reshape(10, 20),
        "constant": np.full((20, 20), 700),
    }
    for name, depth in depths.items():
        save(root / "rgb" / f"{name}.png", np.zeros((20, 20, 3), np.uint8))
        save(root / "depth" / f"{name}.png", depth.astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 3
    save(root / "rgb" / "turned.png", np.zeros((20, 20, 3), np.uint8), exif=exif)
    save(root / "depth" / "turned.png", depths["good"].astype(np.uint16))
    save(root / "rgb" / "alone.png", np.zeros((20, 20, 3), np.uint8))
    save(root / "depth" / "lonely.png", depths["good"].astype(np.uint16))
    folder = collect("rgbd_folder", root, **RGBD)
    assert SourceFolder(folder).manifest["key"].tolist() == ["good"]
    refused = quarantine(folder)
    assert refused["rgb/other_size.png"].startswith("depth of 10 x 20 pixels for a picture of 20 x 20: of another")
    assert "no pixel has a label" in refused["rgb/none.png"]
    assert "value 0.7" in refused["rgb/constant.png"]
    assert "EXIF" in refused["rgb/turned.png"]
    assert "no depth file" in refused["rgb/alone.png"]
    assert "no color image" in refused["depth/lonely.png"]
    assert len(refused) == 6


def test_an_unlabeled_source_keeps_images_whatever_their_depth(tmp_path, collect):
    root = tmp_path / "mixed"
    for name, depth in {"good": np.arange(1, 401), "none": np.zeros(400)}.items():
        save(root / "rgb" / f"{name}.png", np.zeros((20, 20, 3), np.uint8))
        save(root / "depth" / f"{name}.png", depth.reshape(20, 20).astype(np.uint16))
    source = SourceFolder(collect("rgbd_folder", root, labels=False, **RGBD))
    assert source.manifest["key"].tolist() == ["good", "none"]
    assert source.target_kind is None
    assert source.target(0) is None


def test_class_labels_can_be_kept_without_depth(tmp_path, collect):
    source = SourceFolder(collect("rendered_world", tmp_path, labels="classes", domain="hills", count=2, seed=1))
    assert [source.target(index) for index in range(2)] == [None, None]
    assert all(source.semantic(index) is not None for index in range(2))


def test_intrinsics_follow_the_scaling(pairs, tmp_path, collect):
    folder = collect(
        "rgbd_folder",
        tmp_path / "pairs",
        "half",
        "scratch_half",
        max_side=24,
        intrinsics=(40.0, 44.0, 23.5, 17.5),
        **RGBD,
    )
    # The center of a 48 x 36 image (pixel centers at whole numbers) is that of the 24 x 18 image.
    assert SourceFolder(folder).intrinsics(0) == (20, 22, 11.5, 8.5)


def test_the_bytes_do_not_depend_on_workers(wild_folder, collect):
    alone = contents(collect("image_folder", wild_folder, "one", "scratch1"))
    shared = contents(collect("image_folder", wild_folder, "two", "scratch2", workers=2))
    assert alone == shared
    assert {"manifest.parquet", "quarantine.parquet"} < set(alone)


@dataclass(frozen=True)
class Options:
    count: int = 7
    stop_at: int = 1000
    error: type[BaseException] = BadInput
    split: str = "train"


READS: Counter[str] = Counter()
INTERRUPTED: list[str] = []


def _items(root, options):
    return (Item(f"{number:02d}", f"{number:02d}.png") for number in range(options.count))


def _load(root, item, options):
    READS[item.key] += 1
    if item.key in INTERRUPTED:
        raise ZeroDivisionError(f"stopped at {item.key}")
    if int(item.key) >= options.stop_at:
        raise options.error(f"stopped at {item.key}")
    values = np.arange(400, dtype=np.float32).reshape(20, 20) + int(item.key)
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return Sample(item.key, buffer.getvalue(), values, "disparity", semantic=values.astype(np.int64) % 7)


RAMPS = Reader("ramps", Options, _items, _load, "none", "ramps made for tests", needs_root=False)


def run(reader, tmp_path, name, progress=lambda kept, refused, total: None, **options):
    scratch, result = tmp_path / f"scratch_{name}", tmp_path / f"result_{name}"
    settings = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 2, "workers": 1, "progress": progress}
    collect_source(reader, Path(), reader.options(**options), scratch, result, **settings)
    return result


def test_finished_shards_are_not_made_again(tmp_path, monkeypatch):
    whole = contents(run(RAMPS, tmp_path, "whole"))
    READS.clear()
    monkeypatch.setattr(sys.modules[__name__], "INTERRUPTED", ["05"])
    with pytest.raises(ZeroDivisionError, match="stopped at 05"):
        run(RAMPS, tmp_path, "stopped")
    assert not (tmp_path / "result_stopped").exists()
    INTERRUPTED.clear()
    assert contents(run(RAMPS, tmp_path, "stopped")) == whole
    shards = [rows.tolist() for _, rows in SourceFolder(tmp_path / "result_whole").shards()]
    stopped = next(rows for rows in shards if 5 in rows)
    again = [row for row in stopped if row <= 5]
    assert READS == {f"{row:02d}": 2 if row in again else 1 for row in range(7)}


def test_a_source_is_listed_once_and_counted_before_the_work(tmp_path):
    seen, listings = [], []

    def items(root, options):
        listings.append(options)
        return _items(root, options)

    counting = dataclasses.replace(RAMPS, items=items)
    run(counting, tmp_path, "counted", progress=lambda *numbers: seen.append(numbers), stop_at=5)
    assert len(listings) == 1
    assert (seen[0], seen[-1]) == ((0, 0, 7), (5, 2, 7))


def test_a_shard_of_other_items_is_made_again(tmp_path):
    shutil.rmtree(run(RAMPS, tmp_path, "grows", count=3))
    longer = contents(run(RAMPS, tmp_path, "grows", count=7))
    assert longer == contents(run(RAMPS, tmp_path, "whole"))


def test_semantic_labels_and_split_are_kept(tmp_path):
    source = SourceFolder(run(RAMPS, tmp_path, "whole"))
    assert np.array_equal(source.semantic(3), (np.arange(400).reshape(20, 20) + 3) % 7)
    assert set(source.manifest["split"]) == {"train"}
    assert source.target_kind == "disparity"


@pytest.mark.parametrize("error", [KeyError, AttributeError, RuntimeError])
def test_a_fault_of_the_software_is_not_swallowed(tmp_path, error):
    with pytest.raises(error, match="stopped at 02"):
        run(RAMPS, tmp_path, "faulty", stop_at=2, error=error)


@pytest.mark.parametrize("error", [BadInput, OSError, PermissionError])
def test_a_fault_of_the_data_is_quarantined(tmp_path, error):
    folder = run(RAMPS, tmp_path, "bad", stop_at=2, error=error)
    assert len(SourceFolder(folder)) == 2
    assert len(quarantine(folder)) == 5
    assert set(SourceFolder(folder).manifest["shard"]) == {path.name for path in folder.glob("*.tar")}


def _repeated_items(root, options):
    keys = ["00", "01", "00", "02", "03", "04", "03", "../05", "01", "06"]
    return (Item(key, f"{number}.png") for number, key in enumerate(keys))


def test_repeated_and_unsafe_keys_are_quarantined_wherever_they_stand(tmp_path):
    reader = Reader("repeated", Options, _repeated_items, _load, "none", "for tests", needs_root=False)
    folder = run(reader, tmp_path, "repeated")
    assert SourceFolder(folder).manifest["key"].tolist() == ["00", "01", "02", "03", "04", "06"]
    refused = quarantine(folder)
    assert {path: reason for path, reason in refused.items() if "duplicated key" in reason} == {
        "2.png": "duplicated key '00'",
        "6.png": "duplicated key '03'",
        "8.png": "duplicated key '01'",
    }
    assert "letters, digits" in refused["7.png"]


KILLED = """
import os, signal
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item
from depth_model.readers.image_folder import Options, _items

def load(root, item, options):
    os.kill(os.getpid(), signal.SIGKILL)

READER = Reader("killed", Options, _items, load, "", "")
"""


def test_a_killed_worker_is_one_clear_error(wild_folder, tmp_path, monkeypatch):
    (tmp_path / "killed_reader.py").write_text(KILLED)
    monkeypatch.syspath_prepend(tmp_path)
    from killed_reader import READER

    settings = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 2, "workers": 2}
    with pytest.raises(UserError, match="run the same command again"):
        collect_source(READER, wild_folder, READER.options(), tmp_path / "s", tmp_path / "r", **settings)


STARTED = """
import sys
from pathlib import Path
from depth_model import readers
from depth_model.reading.collecting import collect_source

if __name__ == "__main__":
    reader = readers.get("image_folder")
    root, scratch, result = map(Path, sys.argv[1:])
    collect_source(reader, root, reader.options(), scratch, result, max_side=64, minimum_side=8,
                   samples_per_shard=4, workers=2)
"""


def test_killed_at_any_moment_it_ends_in_the_same_bytes(tmp_path, repository, collect):
    root = tmp_path / "many"
    colors = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    for number in range(120):
        save(root / f"{number:03d}.png", np.roll(colors, number, axis=0))
    whole = contents(collect("image_folder", root, max_side=64, samples_per_shard=4))
    script = tmp_path / "start.py"
    script.write_text(STARTED)
    command = [sys.executable, script, root, tmp_path / "killed", tmp_path / "end"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    process = subprocess.Popen(command, env=environment)
    while not list((tmp_path / "killed").glob("shard-*.parquet")):
        assert process.poll() is None
        time.sleep(0.002)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(list((tmp_path / "killed").glob("shard-*.parquet")))
    assert 0 < finished < 30
    assert not (tmp_path / "end").exists()
    wait_for(lambda: not any(map(lives, workers)), 30)
    subprocess.run(command, env=environment, check=True)
    assert contents(tmp_path / "end") == whole


def _load_killed_once(root, item, options):
    marker = Path(os.environ["KILLED_ONCE"])
    if item.key == "04" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return _load(root, item, options)


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_costs_its_shard_and_the_bytes_stay_the_same(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("KILLED_ONCE", str(tmp_path / "killed"))
    whole = contents(run(RAMPS, tmp_path, "whole"))
    reader = dataclasses.replace(RAMPS, load=_load_killed_once)
    settings = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 2, "workers": 2, "engine": "ray"}
    collect_source(reader, Path(), reader.options(), tmp_path / "scratch", tmp_path / "result", **settings)
    assert (tmp_path / "killed").exists()
    assert contents(tmp_path / "result") == whole
