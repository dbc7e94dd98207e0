"""The model against the official definition, written down on its own, at the sizes that issue reports name."""

from __future__ import annotations

import pytest
import torch

from depth_model.networks import DepthAnything
from depth_model.networks.variants import VARIANTS

from .official_definition import official_disparity

SHAPES = [(518, 518), (252, 350), (378, 770)]
HEADS = {"tiny": 3, "vits": 6, "vitb": 12, "vitl": 16}


def difference(size, shape, blocks):
    model = DepthAnything(size, seed=3, blocks=blocks).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gamma"):
                parameter.copy_(torch.linspace(0.2, 0.8, len(parameter)))
    image = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = official_disparity(model.official_state(), image, HEADS[size], model.blocks)
        found = model(image)
    assert expected.std() > 0
    return float((found - expected).abs().max() / (expected.max() - expected.min()))


@pytest.mark.parametrize("out_indices", ["last", "spread"])
@pytest.mark.parametrize(("size", "shape"), [*(("tiny", shape) for shape in SHAPES), ("vits", (252, 350))])
def test_the_output_is_that_of_the_official_definition(size, shape, out_indices):
    assert difference(size, shape, VARIANTS[size].out_indices(out_indices)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("out_indices", ["last", "spread"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["vits", "vitb", "vitl"])
def test_every_published_size_gives_the_output_of_the_official_definition(size, shape, out_indices):
    assert difference(size, shape, VARIANTS[size].out_indices(out_indices)) < 1e-4
