"""What OpenMP itself says it was told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP there")
@pytest.mark.parametrize(
    ("given", "found"), [({}, "1000"), pytest.param({"GOMP_SPINCOUNT": "77"}, "77", marks=pytest.mark.slow)]
)
def test_threads_of_a_stage_hardly_spin_unless_the_user_says_so(repository, given, found):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(repository), **given}
    script = "import tasks.training.stage, torch; torch.ones(8).sum()"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert f"GOMP_SPINCOUNT = '{found}'" in done.stderr
