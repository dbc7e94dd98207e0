import cv2
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
        scaled = cv2.resize(image, (56, 56), interpolation=cv2.INTER_LINEAR)  # as in training
        alone = model(torch.from_numpy(network_image(scaled, (56, 56)))[None])
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


@pytest.mark.parametrize("head", ["linear", SMALL])
def test_several_scales_of_the_original_are_those_of_the_released_configuration(head):
    """As it is done there: resize, mirror, normalize, pad to patches, slide, cut, resize to the picture, softmax."""
    model, image = _model(head), _image(40, 60)
    mean, std = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    wanted = torch.zeros(19, 40, 60)
    for ratio in (0.5, 1.0, 1.75):
        height, width = int(40 * ratio + 0.5), int(60 * ratio + 0.5)
        scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        for mirrored in (False, True):
            view = torch.tensor((scaled[:, ::-1] if mirrored else scaled).copy(), dtype=torch.float32)
            view = ((view - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)[None]
            padded = torch.zeros(1, 3, -(-height // 14) * 14, -(-width // 14) * 14)
            padded[..., :height, :width] = view
            found = _slid(model, padded)[:, :, :height, :width]
            found = functional.interpolate(found, size=(40, 60), mode="bilinear", align_corners=False)
            wanted += (found.flip(-1) if mirrored else found)[0].softmax(0)
    segmenter = Segmenter(model, stride=14, scales=(0.5, 1.0, 1.75), flip=True, of_original=True)
    assert torch.allclose(segmenter.scores(image), wanted, atol=1e-4)
    assert np.array_equal(segmenter(image), wanted.argmax(0).numpy())


@torch.no_grad()
def _slid(model, images, side=28, stride=14):
    total, times = torch.zeros(1, 19, *images.shape[2:]), torch.zeros(images.shape[2:])
    height, width = images.shape[2:]
    for row in range(max(height - side + stride - 1, 0) // stride + 1):
        for column in range(max(width - side + stride - 1, 0) // stride + 1):
            bottom, right = min(row * stride + side, height), min(column * stride + side, width)
            place = slice(max(bottom - side, 0), bottom), slice(max(right - side, 0), right)
            total[..., *place] += model(images[..., *place])
            times[place] += 1
    return total / times


def test_the_largest_score_is_found_in_parts_as_at_once():
    scores = torch.randn(150, 9, 11)
    wanted = functional.interpolate(scores[None], size=(21, 30), mode="bilinear", align_corners=False)[0].argmax(0)
    assert np.array_equal(largest(scores, (21, 30)), wanted.numpy())


def test_a_very_long_picture_is_bounded():
    assert Segmenter(_model(), 56).scores(_image(16, 64)).shape[1:] == (56, 224)
    assert Segmenter(_model(), 56).scores(_image(8, 64)).shape[1:] == (28, 224)
