"""The cases of OpenVINO, in a process of their own.

After models had been run by OpenVINO 2026.4 and by onnxruntime in one process, trainings in it ended in a segmentation
fault (torch 2.14; three times of three, and none of two without onnxruntime; cause not found), which must not take
other tests along.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("openvino_cases.py")


@pytest.mark.skipif(find_spec("openvino") is None, reason="the package openvino is not installed")
def test_disparity_by_openvino_is_that_of_torch():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=CASES.parents[3])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
