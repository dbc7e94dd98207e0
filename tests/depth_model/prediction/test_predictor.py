"""Pre-processing of the released model, and depth for images of any size."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from depth_model.errors import BadInput
from depth_model.networks import DepthAnything
from depth_model.networks.device import inference_device
from depth_model.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from depth_model.prediction.predictor import (
    DepthPredictor,
    network_image,
    network_size,
    rgb,
    transformers_size,
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [  # docs/paper.md 8.3
        ((480, 640), (518, 686)),
        ((375, 1242), (518, 1722)),
        ((436, 1024), (518, 1218)),
        ((300, 400), (518, 686)),
        ((1216, 1936), (518, 826)),
        ((1080, 1920), (518, 924)),
        ((640, 480), (686, 518)),
        ((1000, 7950), (518, 4116)),
    ],
)
def test_network_sizes_are_the_released_ones(found, expected):
    assert network_size(*found, 518) == expected


@pytest.mark.parametrize("size", [network_size, transformers_size])
@pytest.mark.parametrize("found", [(2, 1200), (1200, 2), (1, 1), (600, 100_000), (1, 10**9), (100_000, 14)])
def test_the_size_of_the_network_is_bounded_whatever_the_shape(size, found):
    for side in size(*found, 518):
        assert 14 <= side <= 8 * 518 and side % 14 == 0


@pytest.mark.parametrize("shape", [(2, 1200), (1200, 2), (1, 1)])
def test_extreme_pictures_get_maps_of_their_size(predictor, shape):
    disparity = predictor(picture(*shape))
    assert disparity.shape == shape and np.isfinite(disparity).all() and disparity.min() >= 0


def test_the_network_image_agrees_with_torch_bicubic():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    expected = torch.nn.functional.interpolate(tensor, (56, 84), mode="bicubic", align_corners=False)[0]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (expected - mean[:, None, None]) / deviation[:, None, None]
    np.testing.assert_allclose(network_image(image, (56, 84)), expected.numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def predictor():
    return DepthPredictor(DepthAnything("tiny", seed=1), short_side=56, batch=2)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_mixed_sizes_give_what_single_images_give(predictor):
    images = [picture(60, 90, 1), picture(33, 20, 2), picture(60, 90, 3), picture(60, 90, 4), picture(14, 14, 5)]
    maps = predictor(images)
    for image, disparity in zip(images, maps, strict=True):
        assert disparity.shape == image.shape[:2]
        assert disparity.dtype == np.float32
        assert (disparity >= 0).all()
        np.testing.assert_allclose(disparity, predictor(image), rtol=1e-4, atol=1e-5)


def test_every_form_of_a_picture_gives_the_same_depth(predictor, tmp_path):
    image = picture(60, 90)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    alpha = np.dstack([image, np.full((60, 90), 255, np.uint8)])
    path = tmp_path / "photo.png"
    forms = [image, Image.fromarray(image), buffer.getvalue(), path, str(path), alpha]
    expected = predictor(image)
    for form in forms:
        np.testing.assert_array_equal(predictor(form), expected)


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_transparency_and_16_bits_are_read_alike_in_every_form():
    generator = np.random.default_rng(0)
    see_through = generator.integers(0, 256, (20, 30, 4), np.uint8)
    alpha = see_through[:, :, 3:] / 255
    over_white = see_through[:, :, :3] * alpha + 255 * (1 - alpha)
    for form in (see_through, Image.fromarray(see_through), png(Image.fromarray(see_through))):
        np.testing.assert_allclose(rgb(form), over_white, atol=1)
    deep = generator.integers(0, 65536, (20, 30)).astype(np.uint16)
    for form in (Image.fromarray(deep), png(Image.fromarray(deep))):
        np.testing.assert_allclose(rgb(form), np.repeat(deep[:, :, None] / 257, 3, 2), atol=0.51)


def test_gray_is_three_equal_channels():
    gray = picture(20, 30)[:, :, 0]
    assert (rgb(gray) == gray[:, :, None]).all()


@pytest.mark.parametrize("wrong", [b"no image", np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8)])
def test_what_is_no_image_is_refused(predictor, wrong):
    with pytest.raises(BadInput):
        predictor(wrong)


def test_a_short_side_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="multiple of 14"):
        DepthPredictor(DepthAnything("tiny"), short_side=100)


def test_network_disparity_is_at_the_networks_resolution(predictor):
    maps = predictor.network_disparity([picture(60, 90), picture(90, 60)])
    assert [one.shape for one in maps] == [(56, 84), (84, 56)]


def test_flip_averaging_makes_the_map_of_a_mirrored_image_the_mirrored_map():
    image = np.random.default_rng(0).integers(0, 256, (42, 70, 3), np.uint8)
    model = DepthAnything("tiny", seed=2)
    plain, averaging = DepthPredictor(model, 42), DepthPredictor(model, 42, flip_averaging=True)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    np.testing.assert_allclose(averaging(mirrored), averaging(image)[:, ::-1], rtol=1e-5)
    assert np.abs(plain(mirrored) - plain(image)[:, ::-1]).max() > 1e-3 * np.ptp(plain(image))
    np.testing.assert_allclose(averaging(image), (plain(image) + plain(mirrored)[:, ::-1]) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("found", "expected"),
    [((300, 400), (392, 518)), ((480, 640), (518, 686)), ((375, 1242), (518, 1722)), ((1080, 1920), (518, 924))],
)
def test_the_processor_of_transformers_shows_small_images_smaller(found, expected):
    assert transformers_size(*found, 518) == expected


def test_transformers_preprocessing_is_that_of_its_processor():
    transformers = pytest.importorskip("transformers")
    image = cv2.GaussianBlur(picture(300, 400), (0, 0), 2)
    processor = transformers.DPTImageProcessor(
        size={"height": 518, "width": 518},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )
    theirs = processor(Image.fromarray(image), return_tensors="np")["pixel_values"][0]
    ours = network_image(image, transformers_size(300, 400, 518), "transformers")
    gray_level = 1 / 255 / min(IMAGENET_STD)
    np.testing.assert_allclose(ours, theirs, atol=2.5 * gray_level)
    assert np.abs(ours - theirs).mean() < 0.1 * gray_level


def test_the_predictor_takes_either_preprocessing(predictor):
    image = picture(30, 40)
    theirs = DepthPredictor(predictor.model, predictor.short_side, preprocessing="transformers")
    assert not np.array_equal(theirs(image), predictor(image))
    with pytest.raises(ValueError, match="official, transformers"):
        DepthPredictor(predictor.model, preprocessing="pil")


def test_a_tensor_is_the_image_it_holds(predictor):
    image = picture(40, 60)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    for one in (tensor, tensor.float() / 255, tensor.double() / 255):
        np.testing.assert_array_equal(rgb(one), image)
    np.testing.assert_array_equal(predictor(tensor), predictor(image))
    np.testing.assert_array_equal(rgb(tensor[:1]), np.repeat(image[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    "wrong", [torch.zeros(4, 4), torch.zeros(2, 4, 4), torch.full((3, 4, 4), 1.5), torch.full((3, 4, 4), torch.nan)]
)
def test_a_tensor_that_is_no_image_is_refused(wrong):
    with pytest.raises(BadInput, match="a tensor of"):
        rgb(wrong)


def test_tiles_change_large_images_only(predictor):
    tiling = DepthPredictor(predictor.model, predictor.short_side, tile=64)
    small, large = picture(60, 64), picture(90, 130)
    first, second = tiling([small, large])
    np.testing.assert_array_equal(first, predictor(small))
    assert second.shape == (90, 130) and second.dtype == np.float32 and (second >= 0).all()
    assert not np.array_equal(second, predictor(large))
    with pytest.raises(ValueError, match="tile = 13"):
        DepthPredictor(predictor.model, tile=13)


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(1, 1, "cuda"), (0, 1, "mps"), (0, 0, "cpu")])
def test_the_fastest_device_at_hand_is_used(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert inference_device().type == expected


def test_bfloat16_predicts_near_float32_and_leaves_the_model_as_it_is():
    model = DepthAnything("tiny", seed=1)
    image, kinds = picture(90, 60), []
    exact, half = DepthPredictor(model, 56), DepthPredictor(model, 56, precision="bf16")
    half.model.encoder.blocks[0].register_forward_hook(lambda block, given, found: kinds.append(found.dtype))
    expected, found = exact(image), half(image)
    assert kinds == [torch.bfloat16] and found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05 * np.ptp(expected)
    assert {one.dtype for one in model.parameters()} == {torch.float32}
    assert half.model.decoder.scratch.output_conv2[2].weight.dtype == torch.float32
    # More than 256 values between the octaves of the output: the last convolution rounds nothing.
    assert len(np.unique(found)) > 2000
    with pytest.raises(ValueError, match="fp32, bf16"):
        DepthPredictor(model, precision="fp16")
