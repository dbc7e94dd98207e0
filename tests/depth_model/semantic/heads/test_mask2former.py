from itertools import permutations

import numpy as np
import pytest
import torch
import transformers

from depth_model.semantic.heads.mask2former import (
    NO_OBJECT_WEIGHT,
    Mask2FormerHead,
    Mask2FormerSettings,
    QueryOutput,
    mask2former_configuration,
    objects,
    query_criterion,
    query_losses,
    query_scores,
)
from depth_model.semantic.heads.simple_pyramid import SimplePyramid

CLASSES, QUERIES, POINTS = 4, 5, 24
SMALL = Mask2FormerSettings(32, QUERIES, 2, 1, 2, 48, POINTS)


def test_the_pyramid_has_four_times_twice_once_and_half_the_size():
    maps = [torch.randn(2, 8, 5, 6) for _ in range(4)]
    pyramid = SimplePyramid(8)(maps)
    assert [tuple(one.shape) for one in pyramid] == [(2, 8, 20, 24), (2, 8, 10, 12), (2, 8, 5, 6), (2, 8, 3, 3)]
    assert torch.equal(pyramid[2], maps[2])


def test_a_single_patch_has_a_pyramid_too():
    pyramid = SimplePyramid(8)([torch.randn(1, 8, 1, 1) for _ in range(4)])
    assert [one.shape[-1] for one in pyramid] == [4, 2, 1, 1]


def test_queries_answer_once_before_and_once_after_every_layer():
    output = Mask2FormerHead(48, CLASSES, SMALL, seed=0)([torch.randn(2, 48, 4, 6) for _ in range(4)])
    assert [tuple(one.shape) for one in output.classes] == [(2, QUERIES, CLASSES + 1)] * 3
    assert [tuple(one.shape) for one in output.masks] == [(2, QUERIES, 16, 24)] * 3


def test_weights_are_those_of_the_seed_and_leave_other_draws_alone():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (Mask2FormerHead(48, CLASSES, SMALL, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), wanted)
    equal = [torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters())]
    assert all(equal)
    assert not torch.equal(one.transformer.queries_features.weight, other.transformer.queries_features.weight)


def test_weights_start_as_those_of_the_librarys_own_model():
    head = Mask2FormerHead(48, CLASSES, SMALL, seed=1)
    library = transformers.Mask2FormerForUniversalSegmentation(mask2former_configuration(CLASSES, SMALL))
    wanted = library.model.pixel_level_module.decoder, library.model.transformer_module, library.class_predictor
    compared = 0
    for part, other in zip((head.pixel_decoder, head.transformer, head.classifier), wanted):
        theirs = dict(other.named_parameters())
        for name, own in part.named_parameters():
            if own.shape == theirs[name].shape and own.numel() > 500:
                assert own.std().item() == pytest.approx(theirs[name].std().item(), rel=0.2, abs=1e-12), name
                compared += 1
    assert compared > 20
    offsets = "encoder.layers.0.self_attn.sampling_offsets"
    assert torch.equal(  # a star of directions, not drawn
        head.pixel_decoder.get_submodule(offsets).bias, wanted[0].get_submodule(offsets).bias
    )
    assert head.pixel_decoder.get_submodule(offsets).bias.std() > 1


def test_scores_spread_class_probabilities_by_masks():
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(1, QUERIES, CLASSES + 1, generator=generator)
    masks = torch.randn(1, QUERIES, 3, 4, generator=generator)
    scores = query_scores(QueryOutput([classes], [masks]), (3, 4))
    for label in range(CLASSES):
        wanted = sum(classes[0, q].softmax(0)[label] * masks[0, q].sigmoid() for q in range(QUERIES))
        assert torch.allclose(scores[0, label], wanted, atol=1e-6)


def test_objects_are_the_classes_of_a_picture_without_the_ignored():
    labels = torch.tensor([[[3, 3], [0, 255]], [[255, 255], [255, 255]]], dtype=torch.uint8)
    classes, masks = objects(labels)
    assert [one.tolist() for one in classes] == [[0, 3], []]
    assert masks[0].tolist() == [[[0, 0], [1, 0]], [[1, 1], [0, 0]]]
    assert masks[1].shape == (0, 2, 2)


def _sampled(mask, points):
    """Bilinear, pixel centers at (i + 0.5) / n, zero outside: one point after the other."""
    height, width = mask.shape
    values = []
    for x, y in points:
        column, row = x * width - 0.5, y * height - 0.5
        left, top = int(np.floor(column)), int(np.floor(row))
        value = 0.0
        for r in (top, top + 1):
            for c in (left, left + 1):
                if 0 <= r < height and 0 <= c < width:
                    value += mask[r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
        values.append(value)
    return np.array(values)


def _cross_entropy(logits, wanted):
    return np.mean(np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-abs(logits))))


def _dice(logits, wanted):
    found = 1 / (1 + np.exp(-logits))
    return 1 - (2 * (found * wanted).sum() + 1) / (found.sum() + wanted.sum() + 1)


def _probabilities(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _matched(classes, masks, targets, target_masks, points):
    """The cheapest of all assignments of different queries to the objects, by trying each."""
    found = [_sampled(mask, points) for mask in masks]
    wanted = [_sampled(mask, points) for mask in target_masks]
    cost = np.array(
        [
            [5 * _cross_entropy(f, w) + 5 * _dice(f, w) - 2 * _probabilities(c)[t] for w, t in zip(wanted, targets)]
            for f, c in zip(found, classes)
        ]
    )
    return min(permutations(range(QUERIES), len(targets)), key=lambda q: sum(cost[a, b] for b, a in enumerate(q)))


def _reference(classes, masks, labels, seed):
    """Losses of one decoder layer in float64, by loops, with the same random points."""
    torch.manual_seed(seed)
    targets, target_masks = objects(labels)
    logits, wanted, weighted, weights = [], [], 0.0, 0.0
    for number in range(len(labels)):
        points = torch.rand(1, POINTS, 2)[0].double().numpy()
        picture = classes[number].double().numpy(), masks[number].double().numpy()
        shown = target_masks[number].double().numpy()
        queries = _matched(*picture, targets[number].tolist(), shown, points)
        # The library lists pairs by query.
        for query, place in sorted((query, place) for place, query in enumerate(queries)):
            logits.append(picture[1][query])
            wanted.append(shown[place])
        of_query = dict(zip(queries, targets[number].tolist()))
        for query in range(QUERIES):
            label = of_query.get(query, CLASSES)
            weight = NO_OBJECT_WEIGHT if label == CLASSES else 1.0
            weighted -= weight * np.log(_probabilities(picture[0][query])[label])
            weights += weight
    candidates = torch.rand(len(logits), 3 * POINTS, 2).double().numpy()
    uncertain = int(0.75 * POINTS)
    rest = torch.rand(len(logits), POINTS - uncertain, 2).double().numpy()
    mask = dice = 0.0
    for one, target, offered, more in zip(logits, wanted, candidates, rest):
        nearest = np.argsort(abs(_sampled(one, offered)), kind="stable")[:uncertain]
        points = np.concatenate([offered[nearest], more])
        found, truth = _sampled(one, points), _sampled(target, points)
        mask += _cross_entropy(found, truth) / len(logits)
        dice += _dice(found, truth) / len(logits)
    return {"class": weighted / weights, "mask": mask, "dice": dice}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_matching_and_losses_are_those_of_a_slow_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randn(2, QUERIES, CLASSES + 1, generator=generator)
    masks = 3 * torch.randn(2, QUERIES, 8, 10, generator=generator)
    labels = torch.randint(0, 3, (2, 16, 20), generator=generator).to(torch.uint8)
    labels[0, :4] = 255
    losses = query_losses(QueryOutput([classes], [masks]), labels, query_criterion(CLASSES, SMALL), seed)
    wanted = _reference(classes, masks, labels, seed)
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(wanted, rel=1e-5)


def test_losses_are_a_function_of_the_seed_and_add_up_over_layers():
    criterion = query_criterion(CLASSES, SMALL)
    output = Mask2FormerHead(48, CLASSES, SMALL, seed=0)([torch.randn(2, 48, 4, 6) for _ in range(4)])
    labels = torch.randint(0, CLASSES, (2, 56, 84), dtype=torch.uint8)
    before = torch.get_rng_state()
    first, again, other = (query_losses(output, labels, criterion, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again
    assert first["mask"] != other["mask"]
    alone = query_losses(QueryOutput(output.classes[:1], output.masks[:1]), labels, criterion, 3)
    assert all(first[name] > alone[name] for name in first)


def test_a_batch_without_labels_has_a_class_loss_only():
    output = Mask2FormerHead(48, CLASSES, SMALL, seed=0)([torch.randn(1, 48, 4, 4) for _ in range(4)])
    labels = torch.full((1, 28, 28), 255, dtype=torch.uint8)
    losses = query_losses(output, labels, query_criterion(CLASSES, SMALL), 0)
    assert float(losses["mask"]) == float(losses["dice"]) == 0
    assert float(losses["class"]) > 0


def test_a_width_that_norms_or_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width=48"):
        Mask2FormerSettings(48, 5, 2, 1, 1, 48, 9)
