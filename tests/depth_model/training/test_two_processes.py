"""Distributed data parallel over two processes: nothing hangs on parameters that never run, gradients agree."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

LAST_BIAS = "decoder.scratch.output_conv2.2.bias"
SCRIPT = Path(__file__).with_name("one_of_two.py")


@pytest.fixture(scope="module")
def pairs(repository, tmp_path_factory):
    """{ranks without a valid pixel: gradients of both processes}."""
    folder, cases = tmp_path_factory.mktemp("pairs"), ["", "1", "01"]
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    paths = str(folder / "meeting"), str(folder / "gradients")
    processes = [
        subprocess.Popen([sys.executable, str(SCRIPT), str(rank), *paths, *cases], env=environment) for rank in (0, 1)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return {one: [torch.load(f"{paths[1]}-{one}-{rank}", weights_only=True) for rank in (0, 1)] for one in cases}


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("one_of_two", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("without", ["", "1"])
def test_two_processes_learn_what_one_learns_from_the_joined_batch(pairs, script, without):
    first, second = (dict(one) for one in pairs[without])
    # With no label on the second process its share is a zero; DDP still takes the mean over both.
    rows, share = (slice(0, 2), 0.5) if without else (slice(0, 4), 1.0)
    expected = script.gradients(script.model(), rows)
    assert expected.keys() == first.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    # The loss ignores a shift, so the true gradient of the last bias is zero: what float32 leaves of it is rounding.
    rounding = 1e-3 * max(float(gradient.abs().max()) for gradient in expected.values())
    assert first.pop(LAST_BIAS).abs() < rounding and expected.pop(LAST_BIAS).abs() < rounding
    for name, gradient in expected.items():
        torch.testing.assert_close(first[name], share * gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_two_processes_without_any_valid_pixel_meet_and_learn_nothing(pairs, script):
    first, second = pairs["01"]
    unused = {name for name in dict(script.model().named_parameters()) if "refinenet4.resConfUnit1" in name}
    assert len(unused) == 4 and not unused & first.keys()
    assert first.keys() == second.keys() and len(first) > 50
    for gradient in (*first.values(), *second.values()):
        assert gradient is not None and not gradient.any()
