"""What the tests of a GPU share: the device, a loop that trains on it, and how near to the CPU it must come.

Every test runs on the CPU too, where it compares the CPU with itself: so the code of the tests is known to run before
a card is at hand.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from depth_model.shards.pool import SamplePool
from depth_model.training import processes
from depth_model.training.arithmetic import arithmetic
from depth_model.training.settings import TrainingMachine
from tests.depth_model.conftest import _labeled, _pseudo

EXACT = TrainingMachine(workers=0, checkpoint_every=5, deterministic="always", tf32=False)
"""Nothing but the order of sums differs from the CPU."""
NEAR = {"fp32": 2e-4, "tf32": 1e-2, "bf16": 5e-2, "bf16 masks": 0.2}
"""Largest difference from float32 on the CPU, as a share of the largest value there."""


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder with six labeled and seven pseudo-labeled images."""
    folder = tmp_path_factory.mktemp("pools")
    _labeled(folder / "data", folder, 6)
    _pseudo(folder / "data", folder, 7)
    return folder / "data"


@pytest.fixture(scope="session")
def pools(data):
    """The pools of both."""
    return (
        SamplePool(data, "labeled", {"scenes": {"samples": 6}}, None),
        SamplePool(data, "unlabeled", {"scenes": {"samples": 7}}, "pseudo"),
    )


cuda = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")]
)


@pytest.fixture(params=[pytest.param("cpu", marks=pytest.mark.slow), cuda])
def device(request):
    """The device that is compared with the CPU, with exact arithmetic."""
    chosen = torch.device(request.param)
    with arithmetic(EXACT, chosen):
        yield chosen


@contextmanager
def trained_on(device):
    """Let the training loop run on `device`, whatever this machine has."""
    before = processes.fabric
    alone = Fabric(accelerator=device.type, devices=1, plugins=[LightningEnvironment()])
    alone.launch()
    processes.fabric = lambda: alone
    try:
        yield
    finally:
        processes.fabric = before


def assert_near(found, expected, precision="fp32"):
    """Assert that `found`, on any device, is as near to `expected`, on the CPU, as `NEAR` says."""
    found, expected = found.detach().cpu().double(), expected.detach().double()
    scale = expected.abs().max().clamp_min(1e-12)
    assert float((found - expected).abs().max() / scale) <= NEAR[precision]
