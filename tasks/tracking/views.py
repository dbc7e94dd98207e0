"""A view of MLflow's table of runs: every student with its alpha beside what it was measured at.

MLflow keeps a view as a tag of the experiment, as its own button "Share" does, and opens it by address.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tasks.tracking.mlflow_runs import experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDENTS = "students"
_ABS_REL = "metrics.`evaluation/mean/abs_rel`"
_VIEW = {
    "searchFilter": "tags.stage = 'train_student'",
    "orderByKey": _ABS_REL,
    "orderByAsc": True,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": ["params.`alpha`", "params.`student.encoder`", _ABS_REL, "metrics.`evaluation/mean/delta1`"],
}


def students(client: MlflowClient) -> str:
    """Keep the view in the store of `client`, and return where it is below the address of MLflow's pages."""
    experiment = experiment_id(client)
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{STUDENTS}", json.dumps(_VIEW))
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={STUDENTS}"
