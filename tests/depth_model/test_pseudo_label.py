"""Pseudo labels are the teacher's disparity of the clean image, each under its own key, and survive kills."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model.datasets import manifest, readers
from depth_model.datasets.collecting import collect_source
from depth_model.datasets.pool import SamplePool
from depth_model.datasets.source import SidecarFolder, SourceFolder
from depth_model.inference import DepthPredictor
from depth_model.networks import DepthAnything
from depth_model.pseudo_label import BadTeacher, label_source

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


@pytest.fixture
def teacher():
    return DepthPredictor(DepthAnything("tiny", seed=4), short_side=28, batch=2)


def label(source, teacher, folder, progress=lambda images: None):
    label_source(source, teacher, "0" * 64, 14, folder / "scratch", folder / "result", progress)
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "result").iterdir()
    }


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    teacher = DepthPredictor(DepthAnything("tiny", seed=4), short_side=28, batch=2)
    return label(source, teacher, tmp_path_factory.mktemp("undisturbed"))


def test_every_label_is_the_teachers_disparity_of_its_image(source, teacher, tmp_path):
    label(source, teacher, tmp_path)
    labels = SidecarFolder(tmp_path / "result")
    assert labels.sidecar["key"].tolist() == source.manifest["key"].tolist()
    for row in range(len(source)):
        wanted = teacher.network_disparity([source.image(row)])[0]
        step = (wanted.max() - wanted.min()) / (2**14 - 2)
        np.testing.assert_allclose(labels.raster(row), wanted, atol=step + 1e-4 * wanted.max())


def test_the_table_says_range_bits_and_teacher(source, teacher, tmp_path):
    label(source, teacher, tmp_path)
    table = SidecarFolder(tmp_path / "result").sidecar
    assert set(table["bits"]) == {14}
    assert set(table["teacher_sha256"]) == {"0" * 64}
    for row in range(len(source)):
        wanted = teacher.network_disparity([source.image(row)])[0]
        assert table["minimum"][row] == pytest.approx(float(wanted.min()), rel=1e-4)
        assert table["maximum"][row] == pytest.approx(float(wanted.max()), rel=1e-4)


def test_members_have_the_names_of_the_data_contract(source, teacher, tmp_path):
    import tarfile

    label(source, teacher, tmp_path)
    name, rows = source.shards()[0]
    with tarfile.open(tmp_path / "result" / name) as shard:
        assert shard.getnames() == [f"{key}.target.dar" for key in source.keys(rows)]


def test_images_of_one_shape_share_a_pass(source, teacher, tmp_path):
    passes = []
    forward = teacher.model.forward
    teacher.model.forward = lambda images: (passes.append(len(images)), forward(images))[1]
    label(source, teacher, tmp_path)
    # Shards of 3, 3 and 1: two of (40, 60) and one (60, 40); three different shapes; one alone.
    assert passes == [2, 1, 1, 1, 1, 1]


def test_progress_adds_up_and_finished_shards_are_not_labelled_again(source, teacher, tmp_path, undisturbed):
    seen = []

    def killer(images):
        seen.append(images)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(source, teacher, tmp_path, killer)
    assert not (tmp_path / "result").exists()
    name = source.shards()[0][0]
    first = (tmp_path / "scratch" / name).stat().st_mtime_ns
    seen.clear()
    seen.extend([0, 0])
    assert label(source, teacher, tmp_path, seen.append) == undisturbed
    assert sum(seen) == len(SHAPES)
    assert (tmp_path / "scratch" / name).stat().st_mtime_ns == first


def test_a_second_pass_over_finished_work_runs_no_network(source, teacher, tmp_path, undisturbed):
    label(source, teacher, tmp_path)
    teacher.model.forward = None
    assert label(source, teacher, tmp_path) == undisturbed


def test_an_empty_source_gives_an_empty_sidecar(teacher, tmp_path):
    (tmp_path / "none").mkdir()
    reader = readers.get("image_folder")
    settings = {"max_side": 200, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
    empty = tmp_path / "data"
    collect_source(reader, tmp_path / "none", reader.options(), tmp_path / "collecting", empty, **settings)
    assert list(label(SourceFolder(empty), teacher, tmp_path)) == [manifest.SIDECAR]
    assert len(SidecarFolder(tmp_path / "result")) == 0


def test_a_teacher_that_gives_nan_is_named(source, teacher, tmp_path):
    with torch.no_grad():
        next(teacher.model.decoder.parameters()).fill_(float("nan"))
    with pytest.raises(
        BadTeacher, match=r"pictures, image .*: the teacher's disparity is not finite; train it again"
    ):
        label(source, teacher, tmp_path)


def test_training_reads_what_was_written(data, source, teacher):
    label_source(
        source, teacher, "0" * 64, 14, data / "scratch", data / "pseudo/pictures", lambda images: None
    )
    pool = SamplePool(data, "unlabeled", {"pictures": {"samples": 7}}, "pseudo")
    for row in range(7):
        sample = pool.load(row)
        assert sample.target_kind == "affine_disparity"
        assert min(sample.target.shape) == 28
        assert not np.isnan(sample.target).any()
        np.testing.assert_array_equal(sample.image, source.image(row))
