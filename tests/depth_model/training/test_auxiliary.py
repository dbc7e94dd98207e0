"""The auxiliary task of the student: its loss by hand, its labels beside the images, and a training with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from depth_model.errors import UserError
from depth_model.objectives import class_loss, labeled_images
from depth_model.shards import rasters
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard
from depth_model.training.batches import unlabeled_batch
from depth_model.training.settings import FeatureAlignment, Perturbation, StudentSettings
from depth_model.training.student import train_student
from tests.depth_model.training.test_student import MACHINE, SETTINGS, TRAINING

NONE = Perturbation(jitter_probability=0, blur_probability=0, cutmix_probability=0)
WITH = dataclasses.replace(SETTINGS, epochs=6.0, auxiliary_semantics=1.0)


def test_the_loss_is_the_mean_over_labeled_images_of_their_labeled_pixels():
    logits = torch.zeros(3, 2, 1, 2)
    logits[0, 1, 0, 0] = np.log(3)  # the probability of class 1 there is 3/4
    labels = torch.full((3, 2, 4), 255, dtype=torch.uint8)
    labels[0, :, :2], labels[1, :, 2:] = 1, 0
    assert float(class_loss(logits, labels)) == pytest.approx((np.log(4 / 3) + np.log(2)) / 2)
    assert labeled_images(labels).tolist() == [True, True, False]
    assert float(class_loss(logits, torch.full_like(labels, 255))) == 0


@pytest.fixture(scope="module")
def pool(pools, tmp_path_factory):
    """The unlabeled pool with a class for dark, middle and bright pixels."""
    data = pools[1]._sources[0].stored.folder.parents[1]
    source, scratch = SourceFolder(data / "unlabeled" / "scenes"), tmp_path_factory.mktemp("classes")
    for shard, rows in source.shards():
        maps = [(source.image(int(row))[..., 0] // 86).astype(np.uint8) for row in rows]
        columns = {"largest": [int(one.max()) for one in maps], "labeled_fraction": [1.0] * len(rows)}
        write_sidecar_shard(scratch, source, shard, "classes.png", map(rasters.encode_labels, maps), columns)
    join_sidecar(scratch, data / "class_map" / "scenes", source)
    catalog = {"scenes": {"samples": len(source)}}
    return SamplePool(data, "unlabeled", catalog, "pseudo", class_maps=["scenes"])


def test_classes_lie_where_the_image_shows_them(pool, pools):
    batch = unlabeled_batch(pool, 3, 4, 28, NONE, 0)
    bright = batch["images"][..., 0].float() / 86
    assert (batch["classes"].float() - bright.floor()).abs().mean() < 0.2  # images are resized between pixels
    plain = unlabeled_batch(pools[1], 3, 4, 28, NONE, 0)
    assert set(batch) - set(plain) == {"classes"}
    assert all(torch.equal(plain[name], batch[name]) for name in ("images", "disparity", "valid", "box"))


def trained(pools, pool, settings, folder):
    alignment = FeatureAlignment(alpha=0.85, block=3, images="none")
    return train_student(
        pools[0], pool, "none", settings, alignment, TRAINING, 3, folder, lambda step, metrics: None, MACHINE
    )


def test_a_student_learns_classes_beside_depth_and_keeps_depth_alone(pools, pool, tmp_path):
    model, history = trained(pools, pool, WITH, tmp_path)
    column = 1 + history.columns.index("auxiliary_semantics")
    found = [row[column] for row in history.rows]
    assert np.mean(found[-3:]) < np.mean(found[:3])
    assert not any(name.startswith("auxiliary") for name in model.state_dict())


def test_without_class_maps_it_is_refused(pools, tmp_path):
    with pytest.raises(UserError, match="no map of class_map has a class"):
        trained(pools, pools[1], WITH, tmp_path)
    assert StudentSettings().auxiliary_semantics == 0
