"""Stage `evaluate_held_out`: relative depth of all models on the labeled images that the audit held out of training.

One more set beside those of `evaluate_relative`, of images like the ones that were learned from. They may have chosen
which step of a training became the model (`validation.keep`), which flatters it a little.
"""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from tasks.evaluate_relative import models
from tasks.settings import params
from tasks.tracking import evaluations, mlflow_runs
from tasks.workspace.paths import HELD_OUT, MODELS, catalog_path, held_out_path
from tasks.workspace.work import Workplace


def run(workplace: Workplace, settings: params.Params) -> None:
    """Evaluate the models on what is held out; where that is nothing, leave a summary without images."""
    from depth_model.evaluation.cases import PooledCases
    from depth_model.evaluation.protocols import GENERIC
    from depth_model.evaluation.results import evaluate_set
    from depth_model.shards.pool import SamplePool

    catalog, held_out = files.read_json(catalog_path("labeled")), held_out_path("labeled")
    cases = PooledCases(SamplePool(Path("data"), "labeled", catalog, held_out=held_out, validation=True))
    folder, summary = evaluations.details(workplace), evaluations.summary_file(workplace)
    with mlflow_runs.stage_run(workplace) as run:
        if not len(cases):
            folder.mkdir(parents=True, exist_ok=True)
            files.write_json(summary, {"set": HELD_OUT, "images": 0, "models": {}})
            return
        evaluate_set(HELD_OUT, "sources.labeled", models(settings), cases, GENERIC, folder, summary, MODELS[-1])
        evaluations.log(run, workplace)
