"""The flow `ablations`: the rows of one of the paper's tables as DVC experiments, a task for each seed.

Which rows there are, what is done already and where results are kept, `experiments.ablations` knows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows import stages
from flows.notify import HOOKS
from flows.running import alone, check_project


@task(cache_policy=NO_CACHE)
def run_seed(table: str, *options: str) -> str:
    """Run `experiments.ablations` on `table`; return its last lines. Raises StageFailed when it fails."""
    command = [sys.executable, "-m", "experiments.ablations", table, *options]
    code, output = stages.streamed(command, stages.stage_environment(""), get_run_logger().info)
    if code:
        raise stages.StageFailed(f"{table} {' '.join(options)}: ended with {code}\n{output}")
    return output


@flow(name="ablations", **HOOKS)
def ablations(table: str = "table-9", seeds: Sequence[Annotated[int, Field(ge=0)]] = (1, 2, 3)) -> str:
    """Run what is missing of `table`, seed by seed; return the table, which is an artifact too.

    params.yaml stays as it is: each row is an experiment in a temporary copy. Raises StageFailed when one fails; what
    was measured before is kept, and the next run goes on from there.
    """
    with alone():
        check_project()
        stages.start_again()
        try:
            for seed in seeds:
                shown = run_seed.with_options(name=f"seed {seed}")(table, "--seeds", str(seed))
            shown = run_seed.with_options(name="table")(table, "--seeds", *map(str, seeds))
        finally:
            stages.stop_running()
    create_markdown_artifact(shown, key="ablations")
    return shown
