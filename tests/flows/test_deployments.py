"""prefect.yaml: every deployment leads to a flow that takes its parameters, and the trigger listens to what is sent."""

from __future__ import annotations

from importlib import import_module

import pytest
import yaml
from prefect.events import DeploymentEventTrigger

from flows import watch


@pytest.fixture
def deployments(repository):
    listed = yaml.safe_load((repository / "prefect.yaml").read_text())["deployments"]
    return {one["name"]: one for one in listed}


def test_each_leads_to_the_flow_of_its_name_which_takes_its_parameters(deployments):
    assert set(deployments) == {"full-pipeline", "data-engine", "finetune", "ablations"}
    for name, one in deployments.items():
        file, _, function = one["entrypoint"].partition(":")
        flow = getattr(import_module(file.removesuffix(".py").replace("/", ".")), function)
        assert flow.name == name
        assert flow.validate_parameters(one["parameters"]).keys() >= one["parameters"].keys()
        assert (one["concurrency_limit"]["limit"], one["work_pool"]["name"]) == (1, "local")
        assert flow.on_failure_hooks and flow.on_crashed_hooks and flow.on_cancellation_hooks


def test_nothing_trains_at_night_unasked_and_a_changed_source_starts_the_flow(deployments):
    (schedule,) = deployments["data-engine"]["schedules"]
    assert schedule["active"] is False
    (given,) = deployments["data-engine"]["triggers"]
    trigger = DeploymentEventTrigger.model_validate(given | {"name": "x"})
    assert trigger.expect == {watch.EVENT}
    assert trigger.match.matches({"prefect.resource.id": f"{watch.RESOURCE}.unlabeled.album"})
    assert not trigger.match.matches({"prefect.resource.id": "prefect.flow-run.1"})
