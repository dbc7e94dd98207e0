"""`depth-anything export-labels` as a user calls it, read back with OpenCV, Pillow and numpy."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.reading.collecting import collect_source
from depth_model.shards import rasters
from depth_model.shards.source import SidecarFolder, SourceFolder, join_sidecar, write_sidecar_shard
from tasks.commands import main
from tasks.commands.outputs import RECORD

SIZE = (30, 40)


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", "export-labels", *map(str, arguments)])
    main.main()


def fails(monkeypatch, capsys, *arguments):
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments)
    return capsys.readouterr().err


@pytest.fixture
def data(tmp_path):
    """Four samples with depth, a sixth of it missing, and pseudo labels of the same images."""
    generator = np.random.default_rng(0)
    root = tmp_path / "root"
    for number in range(4):
        depth = generator.integers(500, 9000, SIZE).astype(np.uint16)
        depth[:5] = 0
        for name, content in (("color", np.zeros((*SIZE, 3), np.uint8)), ("depth", depth)):
            path = root / f"room{number % 2}" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
    reader = readers.get("rgbd_folder")
    options = reader.options(color="*/color/*.png", depth="*/depth/*.png", unit=1000.0)
    limits = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
    collect_source(reader, root, options, tmp_path / "scratch", tmp_path / "data/labeled/rooms", **limits)
    source = SourceFolder(tmp_path / "data/labeled/rooms")
    for shard, rows in source.shards():
        maps = [generator.normal(3, 1, SIZE).astype(np.float32) for _ in rows]
        encoded = [rasters.encode_quantized(one, 14) for one in maps]
        limits = {"minimum": [float(one.min()) for one in maps], "maximum": [float(one.max()) for one in maps]}
        write_sidecar_shard(tmp_path / "work", source, shard, f"target.{rasters.SUFFIX}", encoded, limits)
    join_sidecar(tmp_path / "work", tmp_path / "data/pseudo/rooms", source)
    return tmp_path / "data"


def stored(folder):
    """Labels of a folder of shards by key, float32, NaN = no label."""
    if folder.parent.name == "pseudo":
        labels = SidecarFolder(folder)
        return {key: labels.raster(row) for row, key in enumerate(labels.sidecar["key"])}
    source = SourceFolder(folder)
    return {source.key(row): source.target(row) for row in range(len(source))}


def rows(out):
    with open(out / "labels.csv", newline="") as handle:
        return {row["key"]: row for row in csv.DictReader(handle)}


@pytest.mark.parametrize("role", ["labeled", "pseudo"])
def test_other_programs_read_the_pngs_within_half_a_step(data, tmp_path, monkeypatch, capsys, role):
    call(monkeypatch, data / role / "rooms", "-o", tmp_path / "out")
    assert "4 labels: " in capsys.readouterr().out
    table = rows(tmp_path / "out")
    for key, label in stored(data / role / "rooms").items():
        path = tmp_path / "out" / f"{key}.png"
        assert table[key]["file"] == f"{key}.png"
        assert table[key]["kind"] == ("metric_depth" if role == "labeled" else "affine_disparity")
        low, high = float(table[key]["minimum"]), float(table[key]["maximum"])
        codes = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert codes.dtype == np.uint16
        np.testing.assert_array_equal(codes == 0, np.isnan(label))
        values = low + (codes - 1.0) * (high - low) / 65534
        assert np.nanmax(np.abs(np.where(codes > 0, values, np.nan) - label)) <= (high - low) / 65534 / 2 * 1.001
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), codes)
            assert (float(image.text["minimum"]), float(image.text["maximum"])) == pytest.approx((low, high))


@pytest.mark.parametrize("role", ["labeled", "pseudo"])
def test_arrays_hold_what_is_stored(data, tmp_path, monkeypatch, role):
    call(monkeypatch, data / role / "rooms", "--format", "npy", "-o", tmp_path / "out")
    for key, label in stored(data / role / "rooms").items():
        found = np.load(tmp_path / "out" / f"{key}.npy", allow_pickle=False)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, label)


def contents(folder):
    """What the export wrote; the record of it, which holds times, apart."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != RECORD]
    return {path.relative_to(folder): path.read_bytes() for path in found}


def test_a_killed_export_goes_on_and_ends_in_the_same_files(data, tmp_path, monkeypatch):
    call(monkeypatch, data / "labeled/rooms", "-o", tmp_path / "whole")
    written = []
    from depth_model import files

    write = files.write_bytes

    def killed(path, content, *mode):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content, *mode)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", killed)
        with pytest.raises(SystemExit):
            call(patch, data / "labeled/rooms", "-o", tmp_path / "out")
    assert not (tmp_path / "out/labels.csv").exists()
    (written[-1].parent / f".{written[-1].name}.123.tmp").write_bytes(b"half")
    before = written[-1].stat().st_mtime_ns
    call(monkeypatch, data / "labeled/rooms", "-o", tmp_path / "out")
    assert written[-1].stat().st_mtime_ns == before
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_damaged_shard_costs_its_own_labels(data, tmp_path, monkeypatch, capsys):
    source = SourceFolder(data / "labeled/rooms")
    row = source.manifest.iloc[1]
    path = data / "labeled/rooms" / row["shard"]
    content = bytearray(path.read_bytes())
    content[row["target_offset"] + row["target_size"] // 2] ^= 0xFF
    path.unlink()
    path.write_bytes(bytes(content))
    error = fails(monkeypatch, capsys, data / "labeled/rooms", "-o", tmp_path / "out")
    assert error.splitlines()[-1].startswith(f"error: {row['key']}.png: damaged raster")
    assert set(rows(tmp_path / "out")) == {source.key(index) for index in (0, 2, 3)}


def test_samples_without_a_label_are_counted(data, tmp_path, monkeypatch, capsys):
    reader = readers.get("image_folder")
    limits = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
    collect_source(reader, tmp_path / "root", reader.options(), tmp_path / "other", tmp_path / "pictures", **limits)
    call(monkeypatch, tmp_path / "pictures", "-o", tmp_path / "out")
    assert "0 labels: " in (said := capsys.readouterr().out)
    assert "8 samples have none" in said


def test_faults_are_one_line(data, tmp_path, monkeypatch, capsys):
    assert "holds neither" in fails(monkeypatch, capsys, tmp_path / "data", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    call(monkeypatch, data / "labeled/rooms", "-o", tmp_path / "out")
    for given in ((data / "pseudo/rooms",), (data / "labeled/rooms", "--format", "npy")):
        assert "holds other labels" in fails(monkeypatch, capsys, *given, "-o", tmp_path / "out")
    assert "is not empty" in fails(monkeypatch, capsys, data / "labeled/rooms", "-o", data)
    source = SourceFolder(data / "labeled/rooms")
    for shard, chosen in source.shards():
        masks = [rasters.encode_mask(np.zeros(SIZE, bool)) for _ in chosen]
        write_sidecar_shard(tmp_path / "sky", source, shard, "sky.png", masks, {})
    join_sidecar(tmp_path / "sky", data / "sky/rooms", source)
    assert "holds sky.png" in fails(monkeypatch, capsys, data / "sky/rooms", "-o", tmp_path / "masks")
