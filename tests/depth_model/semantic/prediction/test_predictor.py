import numpy as np
import pytest
import torch
from torch.nn import functional

from depth_model.networks import build_encoder
from depth_model.prediction.predictor import network_image
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.semantic.prediction.predictor import Segmenter, largest, window_starts

SMALL = Mask2FormerSettings(64, 5, 2, 1, 1, 48, 16)


def _model(head="linear", side=28):
    return Segmentation(build_encoder("tiny"), class_lists()["cityscapes"], head, side)


def _image(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def test_one_window_is_the_model_itself():
    model, image = _model(side=56), _image(50, 50)
    with torch.no_grad():
        alone = model(torch.from_numpy(network_image(image, (56, 56)))[None])
        wanted = functional.interpolate(alone, size=(50, 50), mode="bilinear", align_corners=False)[0].argmax(0)
    assert np.array_equal(Segmenter(model)(image), wanted.numpy())


@pytest.mark.parametrize(
    "length, side, stride, wanted",
    [(896, 896, 426, [0]), (1195, 896, 426, [0, 299]), (1792, 896, 518, [0, 518, 896]), (448, 896, 426, [0])],
)
def test_windows_cover_a_side_as_the_released_configuration_has_it(length, side, stride, wanted):
    assert window_starts(length, side, stride) == wanted


@pytest.mark.parametrize("head", ["linear", SMALL])
def test_overlapping_windows_are_averaged(head):
    model, image = _model(head), _image(28, 56)
    shown = torch.from_numpy(network_image(image, (28, 56)))[None]
    with torch.no_grad():
        parts = [model(shown[..., left : left + 28])[0] for left in (0, 14, 28)]
    wanted = torch.zeros(19, 28, 56)
    for left, part in zip((0, 14, 28), parts):
        wanted[..., left : left + 28] += part
    wanted[..., 14:42] /= 2
    assert torch.allclose(Segmenter(model, 28, 14).scores(image), wanted, atol=1e-5)


def test_mirrored_pictures_give_mirrored_labels_when_both_are_averaged():
    segmenter, image = Segmenter(_model(), 28, 14, scales=(0.5, 1.0, 2.0), flip=True), _image(40, 60)
    mirrored = segmenter(np.ascontiguousarray(image[:, ::-1]))
    assert np.mean(segmenter(image) == mirrored[:, ::-1]) > 0.97  # but for ties and odd windows
    assert segmenter.scores(image).sum(0).numpy() == pytest.approx(6.0, abs=1e-4)  # six probabilities


def test_the_largest_score_is_found_in_parts_as_at_once():
    scores = torch.randn(150, 9, 11)
    wanted = functional.interpolate(scores[None], size=(21, 30), mode="bilinear", align_corners=False)[0].argmax(0)
    assert np.array_equal(largest(scores, (21, 30)), wanted.numpy())


def test_a_very_long_picture_is_bounded():
    assert Segmenter(_model(), 56).scores(_image(16, 64)).shape[1:] == (56, 224)
    assert Segmenter(_model(), 56).scores(_image(8, 64)).shape[1:] == (28, 224)
