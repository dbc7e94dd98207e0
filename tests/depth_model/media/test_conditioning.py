"""The conditioning image beside what ControlNet's annotator makes and what diffusers' pipelines take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model.media.conditioning import STRIDE, conditioning_image, conditioning_size
from depth_model.media.pictures import spread


def disparity(height=96, width=128):
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.where((rows - 40) ** 2 + (columns - 50) ** 2 < 400, 9.0, rows / 20 + columns / 90).astype(np.float32)


def annotated(depth):
    """MidasDetector.__call__ of ControlNet, written again: least is 0, largest 255, cut off, three channels."""
    shown = torch.from_numpy(depth.copy())
    shown -= torch.min(shown)
    shown /= torch.max(shown)
    gray = (shown.numpy() * 255.0).clip(0, 255).astype(np.uint8)
    return np.concatenate([gray[:, :, None]] * 3, axis=2)


def test_it_is_what_the_annotator_makes():
    given = disparity()
    found = conditioning_image(spread(given), 96)
    np.testing.assert_array_equal(found, annotated(given))
    assert found[40, 50].tolist() == [255] * 3 and found[0, 0].tolist() == [0] * 3  # near is bright


@pytest.mark.parametrize("side", [64, 96, 104, 160])
def test_diffusers_takes_it_without_resizing(side):
    processor = pytest.importorskip("diffusers.image_processor")
    found = conditioning_image(spread(disparity(90, 133)), side)
    assert min(found.shape[:2]) == side and all(length % STRIDE == 0 for length in found.shape[:2])
    # As StableDiffusionControlNetPipeline makes its processor of conditioning images.
    control = processor.VaeImageProcessor(vae_scale_factor=8, do_convert_rgb=True, do_normalize=False)
    seen = control.preprocess(Image.fromarray(found))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(seen, found / 255, atol=1e-7)


def test_sides_are_never_zero():
    assert conditioning_size(10, 4000, 8) == (8, 3200)
    assert conditioning_size(512, 512, 512) == (512, 512)
    assert conditioning_size(3, 3, 8) == (8, 8)
