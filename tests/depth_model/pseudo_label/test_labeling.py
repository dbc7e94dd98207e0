"""Pseudo labels are the teacher's disparity of the clean image, each under its own key, and survive kills."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput, UserError
from depth_model.networks import DepthAnything
from depth_model.networks.device import worker_device
from depth_model.prediction.predictor import DepthPredictor
from depth_model.pseudo_label.labeling import Labeling, averaged, flip_consistency, label_source
from depth_model.reading.collecting import collect_source
from depth_model.shards import manifest
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SidecarFolder, SourceFolder, finished_shards

SHAPES = [(40, 60), (60, 40), (40, 60), (44, 44), (60, 40), (40, 60), (52, 64)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with one unlabeled source of seven images of four shapes, in shards of three."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "images").mkdir()
    for number, shape in enumerate(SHAPES):
        pixels = np.random.default_rng(number).integers(0, 256, (*shape, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    reader = readers.get("image_folder")
    settings = {"max_side": 200, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
    result = folder / "data/unlabeled/pictures"
    collect_source(reader, folder / "images", reader.options(), folder / "scratch", result, **settings)
    return folder / "data"


@pytest.fixture(scope="module")
def source(data):
    return SourceFolder(data / "unlabeled/pictures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a teacher."""
    path = tmp_path_factory.mktemp("teacher")
    DepthAnything("tiny", seed=4).save(path)
    return path


@pytest.fixture
def teacher(folder):
    return DepthPredictor(DepthAnything.load(folder), short_side=28, batch=2)


@pytest.fixture
def setup(folder):
    return Labeling(teachers={folder: 1.0}, sha256="0" * 64, short_side=28, bits=14, batch=2)


def label(source, setup, folder, progress=lambda images: None, **where):
    label_source(source, setup, folder / "scratch", folder / "result", progress, **where)
    return hashes(folder / "result")


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(source, folder, tmp_path_factory):
    one = Labeling(teachers={folder: 1.0}, sha256="0" * 64, short_side=28, bits=14, batch=2)
    return label(source, one, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def passes(monkeypatch):
    """How many images each pass of a network took."""
    taken = []
    whole = DepthPredictor.started

    def counted(predictor, inputs):
        taken.append(len(inputs))
        return whole(predictor, inputs)

    monkeypatch.setattr(DepthPredictor, "started", counted)
    return taken


def test_every_label_is_the_teachers_disparity_of_its_image(source, teacher, setup, tmp_path):
    label(source, setup, tmp_path)
    labels = SidecarFolder(tmp_path / "result")
    assert labels.sidecar["key"].tolist() == source.manifest["key"].tolist()
    for row in range(len(source)):
        wanted = teacher.network_disparity([source.image(row)])[0]
        step = (wanted.max() - wanted.min()) / (2**14 - 2)
        np.testing.assert_allclose(labels.raster(row), wanted, atol=step + 1e-4 * wanted.max())


def test_the_table_says_range_bits_and_teacher(source, teacher, setup, tmp_path):
    label(source, setup, tmp_path)
    table = SidecarFolder(tmp_path / "result").sidecar
    assert set(table["bits"]) == {14}
    assert set(table["teacher_sha256"]) == {"0" * 64}
    for row in range(len(source)):
        wanted = teacher.network_disparity([source.image(row)])[0]
        assert table["minimum"][row] == pytest.approx(float(wanted.min()), rel=1e-4)
        assert table["maximum"][row] == pytest.approx(float(wanted.max()), rel=1e-4)


def test_members_have_the_names_of_the_data_contract(source, setup, tmp_path):
    import tarfile

    label(source, setup, tmp_path)
    name, rows = source.shards()[0]
    with tarfile.open(tmp_path / "result" / name) as shard:
        assert shard.getnames() == [f"{key}.target.dar" for key in source.keys(rows)]


def test_images_of_one_shape_share_a_pass(source, setup, tmp_path, passes):
    label(source, setup, tmp_path)
    # Shards of 3, 3 and 1: two of (40, 60) and one (60, 40); three different shapes; one alone.
    assert passes == [2, 1, 1, 1, 1, 1]


def test_progress_adds_up_and_finished_shards_are_not_labeled_again(source, setup, tmp_path, undisturbed):
    seen = []

    def killer(images):
        seen.append(images)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(source, setup, tmp_path, killer)
    assert not (tmp_path / "result").exists()
    name = source.shards()[0][0]
    first = (tmp_path / "scratch" / name).stat().st_mtime_ns
    seen.clear()
    seen.extend([0, 0, 0])
    assert label(source, setup, tmp_path, seen.append) == undisturbed
    assert sum(seen) == len(SHAPES)
    assert (tmp_path / "scratch" / name).stat().st_mtime_ns == first


def test_a_second_pass_over_finished_work_runs_no_network(source, setup, tmp_path, undisturbed, passes):
    label(source, setup, tmp_path)
    passes.clear()
    assert label(source, setup, tmp_path) == undisturbed
    assert not passes


def test_an_empty_source_gives_an_empty_sidecar(setup, tmp_path):
    (tmp_path / "none").mkdir()
    reader = readers.get("image_folder")
    settings = {"max_side": 200, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
    empty = tmp_path / "data"
    collect_source(reader, tmp_path / "none", reader.options(), tmp_path / "collecting", empty, **settings)
    assert list(label(SourceFolder(empty), setup, tmp_path)) == [manifest.SIDECAR]
    assert len(SidecarFolder(tmp_path / "result")) == 0


def test_a_teacher_that_gives_nan_is_named(source, setup, tmp_path):
    model = DepthAnything("tiny", seed=4)
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(3e38)
    model.save(tmp_path / "broken")
    broken = dataclasses.replace(setup, teachers={tmp_path / "broken": 1.0})
    with pytest.raises(
        UserError, match=r"pictures, one of the images .*: the teacher's disparity is not finite; train it again"
    ):
        label(source, broken, tmp_path)


def test_teachers_that_cannot_see_one_size_are_named(source, setup, folder, tmp_path):
    DepthAnything("dinov3_tiny16", seed=4).save(tmp_path / "three")
    three = dataclasses.replace(setup, teachers={tmp_path / "three": 1.0})
    with pytest.raises(UserError, match=r"pseudo_label\.short_side = 28: must be a positive multiple of 16"):
        label(source, three, tmp_path / "one")
    both = dataclasses.replace(setup, teachers={folder: 1.0, tmp_path / "three": 1.0}, short_side=112)
    with pytest.raises(UserError, match="patches of 14 and 16 pixels"):
        label(source, both, tmp_path / "two")


def test_a_gpu_that_is_not_there_is_one_line(source, setup, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="a worker sees no GPU; choose 'auto' or 'cpu'"):
        label(source, dataclasses.replace(setup, device="gpu"), tmp_path)


def test_local_workers_share_the_gpus_by_turns(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(worker_device("auto", number)) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert str(worker_device("cpu", 1)) == "cpu"


class KilledOnce(SourceFolder):
    """A source of which the first worker at its second shard is killed; `log` tells which shards were begun."""

    def image(self, index):
        shard = self.manifest["shard"].iat[index]
        if index == 0:
            with open(self.log, "a") as log:
                log.write(f"{shard}\n")
            if shard == self.victim and self.log.read_text().split().count(shard) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().image(index)


def killed_once(source, folder):
    one = KilledOnce(source.folder)
    one.log, one.victim = folder / "log", source.shards()[1][0]
    return one


@pytest.mark.slow
def test_a_killed_worker_costs_its_shard_and_the_bytes_stay_the_same(source, setup, tmp_path, undisturbed):
    setup = dataclasses.replace(setup, threads=torch.get_num_threads())
    seen = []
    killed = killed_once(source, tmp_path)
    assert label(killed, setup, tmp_path, seen.append, processes=2) == undisturbed
    assert sum(seen) == len(SHAPES)
    assert sorted(killed.log.read_text().split()) == sorted([killed.victim, *(name for name, _ in source.shards())])


@pytest.mark.slow
def test_a_killed_worker_of_ray_costs_its_shard_and_the_bytes_stay_the_same(
    source, setup, tmp_path, undisturbed, monkeypatch
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    setup = dataclasses.replace(setup, threads=torch.get_num_threads())
    killed = killed_once(source, tmp_path)
    assert label(killed, setup, tmp_path, engine="ray", processes=2) == undisturbed
    begun = killed.log.read_text().split()
    assert begun.count(killed.victim) == 2
    assert len(begun) <= len(source.shards()) + 2  # one that waited for the killed worker may begin twice


def test_bf16_stays_near_fp32(source, teacher, setup, tmp_path, undisturbed):
    assert label(source, dataclasses.replace(setup, precision="bf16"), tmp_path) != undisturbed
    labels = SidecarFolder(tmp_path / "result")
    for row in range(len(source)):
        wanted = teacher.network_disparity([source.image(row)])[0]
        assert np.abs(labels.raster(row) - wanted).max() < 0.05 * wanted.max()


def test_scores_are_those_of_the_mirrored_image(source, teacher, setup, tmp_path, undisturbed):
    label(source, dataclasses.replace(setup, quality="flip"), tmp_path)
    scores = SidecarFolder(tmp_path / "result").sidecar["quality"]
    for row in range(len(source)):
        plain = teacher.network_disparity([source.image(row)])[0].ravel().astype(np.float64)
        other = teacher.network_disparity([source.image(row)[:, ::-1]])[0][:, ::-1].ravel().astype(np.float64)
        design = np.stack([other, np.ones_like(other)], 1)
        fitted = np.linalg.lstsq(design, plain)[0]
        explained = 1 - (plain - design @ fitted).var() / plain.var()
        assert scores[row] == pytest.approx(explained if fitted[0] > 0 else 0, abs=1e-3)
    assert scores.max() > 0


def test_flip_consistency_knows_the_extremes():
    values = np.random.default_rng(0).random((20, 30), np.float32)
    assert flip_consistency(values, 3 * values + 2) == pytest.approx(1, abs=1e-6)
    assert flip_consistency(values, 5 - values) == 0
    assert flip_consistency(values, np.ones_like(values)) == 0
    assert flip_consistency(values, np.random.default_rng(1).random((20, 30), np.float32)) < 0.05


def test_several_teachers_are_averaged_in_the_scale_of_the_first():
    generator = np.random.default_rng(2)
    first = generator.random((20, 30), np.float32) + 1
    np.testing.assert_allclose(averaged([first, 7 * first + 3, 0.1 * first], [1, 1, 1]), first, rtol=1e-5)
    noisy = [first, *(first + generator.normal(0, 0.05, first.shape).astype(np.float32) for _ in range(3))]
    assert np.abs(averaged(noisy, [1] * 4) - first).mean() < np.abs(noisy[1] - first).mean()
    assert averaged([first - 1, -100 * first], [1, 1]).min() >= 0


def test_a_second_teacher_changes_the_labels(source, teacher, setup, tmp_path):
    other = DepthAnything("tiny", seed=9)
    other.save(tmp_path / "other")
    label(source, dataclasses.replace(setup, teachers={**setup.teachers, tmp_path / "other": 1.0}), tmp_path)
    second = DepthPredictor(other, short_side=28)
    for row in (0, len(source) - 1):
        maps = [one.network_disparity([source.image(row)])[0] for one in (teacher, second)]
        wanted = averaged(maps, [1, 1])
        step = (wanted.max() - wanted.min()) / (2**14 - 2)
        raster = SidecarFolder(tmp_path / "result").raster(row)
        np.testing.assert_allclose(raster, wanted, atol=step + 1e-3 * wanted.max())


def test_training_leaves_out_what_scores_low_and_says_how_many(data, source, setup, tmp_path):
    label_source(
        source,
        dataclasses.replace(setup, quality="flip"),
        tmp_path / "scratch",
        tmp_path / "pseudo/pictures",
        lambda images: None,
    )
    (tmp_path / "unlabeled").symlink_to(data / "unlabeled")
    scores = SidecarFolder(tmp_path / "pseudo/pictures").sidecar["quality"].to_numpy()
    middle = float(np.median(scores))
    catalog = {"pictures": {"samples": 7}}
    gone = pa.table({"source": ["pictures"], "key": [source.key(int(scores.argmin()))]})
    pq.write_table(gone, tmp_path / "gone.parquet")
    whole = SamplePool(tmp_path, "unlabeled", catalog, "pseudo", minimum_quality=middle)
    rest = SamplePool(tmp_path, "unlabeled", catalog, "pseudo", tmp_path / "gone.parquet", minimum_quality=middle)
    kept = [source.key(row) for row in np.flatnonzero(scores >= middle)]
    for pool, dropped in ((whole, 3), (rest, 2)):
        assert pool.low_quality == {"pictures": dropped}
        assert [pool.load(index).key for index in range(len(pool))] == kept


def test_a_minimum_without_scores_is_refused(data, source, setup, tmp_path):
    label_source(source, setup, tmp_path / "scratch", tmp_path / "pseudo/pictures", lambda images: None)
    (tmp_path / "unlabeled").symlink_to(data / "unlabeled")
    with pytest.raises(UserError, match=r"holds no scores; set pseudo_label\.quality"):
        SamplePool(tmp_path, "unlabeled", {"pictures": {"samples": 7}}, "pseudo", minimum_quality=0.5)


def test_training_reads_what_was_written(data, source, setup):
    label_source(source, setup, data / "scratch", data / "pseudo/pictures", lambda images: None)
    pool = SamplePool(data, "unlabeled", {"pictures": {"samples": 7}}, "pseudo")
    for row in range(7):
        sample = pool.load(row)
        assert sample.target_kind == "affine_disparity"
        assert min(sample.target.shape) == 28
        assert (sample.target.min(), sample.target.max()) == (1, 2**setup.bits - 1)
        np.testing.assert_array_equal(sample.image, source.image(row))


def test_a_damaged_image_costs_its_shard_and_is_named(data, setup, tmp_path):
    shutil.copytree(data / "unlabeled/pictures", tmp_path / "pictures")
    copy = SourceFolder(tmp_path / "pictures")
    row = copy.rows.slice(1, 1).to_pylist()[0]
    with open(tmp_path / "pictures" / row["shard"], "r+b") as shard:
        shard.seek(row["image_offset"])
        shard.write(bytes(row["image_size"]))
    seen = []
    with pytest.raises(BadInput) as refusal:
        label_source(copy, setup, tmp_path / "scratch", tmp_path / "result", seen.append)
    first, last = str(refusal.value).split("\n")
    assert row["key"] in first and f"1 of {len(copy.shards())} shards have no labels" in last
    assert sum(seen) == len(copy) - len(copy.shards()[0][1])
    assert len(finished_shards(tmp_path / "scratch")) == len(copy.shards()) - 1
