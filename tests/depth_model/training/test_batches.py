"""Batches are the same bytes however they are made, and bad samples count instead of crashing."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from depth_model.errors import BadInput
from depth_model.training import batches
from depth_model.training.sampling import WHOLE, batch_indices
from depth_model.training.settings import Perturbation
from tests.depth_model.conftest import DEGENERATE

STRONG = Perturbation(0.5, 0.5, 0.5, 0.25, 0.8, 0.5, (0.1, 2.0), 0.5)
CLEAN = Perturbation(0.5, 0.5, 0.5, 0.25, 0.0, 0.0, (0.1, 2.0), 0.5)


def loaded(make, start, total, workers):
    return [part for (part,) in batches.loader(make, [WHOLE], start, total, workers)]


def content(batch):
    return {name: tensor.numpy().tobytes() for name, tensor in batch.items() if name != "keys"}


def test_a_labeled_batch_has_the_promised_form(pools):
    batch = batches.labeled_batch(pools[0], 3, 4, 28, 0)
    assert batch["images"].shape == (4, 28, 28, 3)
    assert batch["images"].dtype == torch.uint8
    assert batch["disparity"].shape == batch["valid"].shape == (4, 28, 28)
    assert batch["valid"].dtype == torch.bool
    assert 0 <= batch["disparity"].min() <= batch["disparity"].max() <= 1


def test_disparity_is_large_where_the_scene_is_near(pools):
    batch = batches.labeled_batch(pools[0], 3, 6, 28, 0)
    assert batch["valid"].all()
    for image, disparity in zip(batch["images"], batch["disparity"], strict=True):
        assert np.corrcoef(image[..., 0].float().flatten(), disparity.flatten())[0, 1] > 0.9


def test_a_degenerate_target_is_masked_and_counted(pools):
    batch = batches.unlabeled_batch(pools[1], 3, 7, 28, CLEAN, 0)
    place = batch_indices((3, batches.UNLABELED), 0, 7, 7).tolist().index(DEGENERATE)
    assert batch["valid"].flatten(1).any(dim=1).tolist() == [number != place for number in range(7)]
    assert batch["unusable"] == 1


def test_a_student_batch_pairs_perturbed_images_with_labels_of_the_clean_ones(pools):
    strong = batches.unlabeled_batch(pools[1], 3, 5, 28, STRONG, 1)
    clean = batches.unlabeled_batch(pools[1], 3, 5, 28, CLEAN, 1)
    assert strong["box"].shape == (5, 28, 28)
    assert torch.equal(strong["disparity"], clean["disparity"])
    assert torch.equal(strong["box"], clean["box"])
    assert not torch.equal(strong["images"], clean["images"])
    for image, disparity, valid in zip(clean["images"], clean["disparity"], clean["valid"], strict=True):
        assert not valid.any() or np.corrcoef(image[..., 0].float().flatten(), disparity.flatten())[0, 1] > 0.8


def test_cutmix_happens_as_often_as_asked(pools):
    boxes = torch.cat([batches.unlabeled_batch(pools[1], 3, 5, 28, CLEAN, step)["box"] for step in range(40)])
    mixed = (~boxes.flatten(1).all(dim=1)).float().mean()
    assert 0.4 < mixed < 0.6


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bytes_do_not_depend_on_the_workers(pools, workers):
    make = partial(batches.unlabeled_batch, pools[1], 3, 4, 28, STRONG)
    alone = [content(batch) for batch in loaded(make, 0, 5, 0)]
    spread = [content(batch) for batch in loaded(make, 0, 5, workers)]
    assert spread == alone
    assert len({batch["images"] for batch in alone}) == 5


def test_a_later_start_gives_the_same_batches(pools):
    make = partial(batches.labeled_batch, pools[0], 3, 4, 28)
    whole = [content(batch) for batch in loaded(make, 0, 6, 0)]
    assert [content(batch) for batch in loaded(make, 4, 6, 1)] == whole[4:]


def test_augmentation_differs_from_epoch_to_epoch(pools):
    orders = [batch_indices((3, batches.LABELED), step, 6, 6).tolist() for step in (0, 1)]
    images = [batches.labeled_batch(pools[0], 3, 6, 28, step)["images"] for step in (0, 1)]
    same = [torch.equal(images[0][orders[0].index(i)], images[1][orders[1].index(i)]) for i in range(6)]
    assert not all(same)


def broken(step, share):
    raise BadInput("data/labeled/scenes/shard-000000.tar: cut off")


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_data_end_in_one_line(workers):
    with pytest.raises(BadInput, match=r"^data/labeled/scenes/shard-000000.tar: cut off$"):
        list(loaded(broken, 0, 3, workers))


def test_network_input_is_normalized_as_imagenet():
    from torchvision.transforms.functional import normalize

    images = torch.randint(0, 256, (2, 5, 6, 3), dtype=torch.uint8)
    wanted = normalize(images.permute(0, 3, 1, 2) / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(batches.network_input(images), wanted)
