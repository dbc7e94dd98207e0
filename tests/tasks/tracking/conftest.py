"""A project folder with an empty store."""

from __future__ import annotations

import pytest
import yaml

from tasks.tracking import mlflow_runs
from tests.tasks import starting

ENVIRONMENT = ("DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", mlflow_runs.FLOW_RUN_URL)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder as current folder, with parameters and an empty store."""
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "")  # not delenv: MLflow sets one of them, which must end with the test
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(starting.empty_store())
    parameters = starting.bare_parameters(evaluation={"short_side": 70, "minimum_images": 20})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters))
    return tmp_path
