"""Stage `evaluate_relative@<set>`: zero-shot relative depth of teacher and student on one evaluation set.

A teacher from elsewhere is measured by its own maps, in their own space. Predictions that stand for one are of other
images, and are not measured.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.errors import named
from tasks.settings import params
from tasks.tracking import evaluations, mlflow_runs
from tasks.workspace.paths import MODELS, REFERENCE, teacher_folder
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.networks import DepthAnything
    from depth_model.prediction.estimator import Estimator


def run(workplace: Workplace, settings: params.Params) -> None:
    """Evaluate teacher and student on the set `workplace.key`."""
    from depth_model.evaluation import protocols
    from depth_model.evaluation.cases import CollectedCases
    from depth_model.evaluation.results import evaluate_set
    from depth_model.shards.source import SourceFolder

    name, where = workplace.key, f"sources.evaluation.{workplace.key}"
    protocol = protocols.get(settings.sources.evaluation[name].protocol)
    with mlflow_runs.stage_run(workplace) as run:
        with named(where):
            cases = CollectedCases(SourceFolder(Path("data/evaluation", name)))
        folder, summary = evaluations.details(workplace), evaluations.summary_file(workplace)
        evaluate_set(name, where, models(settings), cases, protocol, folder, summary, MODELS[-1])
        evaluations.log(run, workplace)


def models(settings: params.Params) -> dict[str, Estimator]:
    """Return what is measured: teacher, student, and the whole model that the student started as, if there is one."""
    short_side = settings.evaluation.short_side
    return _trained(short_side) | (_start(settings, short_side) if settings.starts_whole("student") else {})


def _start(settings: params.Params, short_side: int) -> dict[str, Estimator]:
    from depth_model.evaluation.verdict import START
    from depth_model.networks.provenance import start_model

    wanted = settings.student
    model = start_model("student", wanted.initial, wanted.encoder, settings.training.out_indices)
    return {START: _of(model, short_side)}


def _trained(short_side: int) -> dict[str, Estimator]:
    from depth_model.networks import DepthAnything

    trained = MODELS[1:] if REFERENCE.is_file() else MODELS
    found = {model: _of(DepthAnything.load(Path("models", model)), short_side) for model in trained}
    return found if trained == MODELS else _foreign_teacher(short_side) | found


def _of(model: DepthAnything, short_side: int) -> Estimator:
    from depth_model.networks.device import inference_device
    from depth_model.prediction.estimator import of_predictor
    from depth_model.prediction.predictor import DepthPredictor

    return of_predictor(DepthPredictor(model.to(inference_device()), short_side))


def _foreign_teacher(short_side: int) -> dict[str, Estimator]:
    from depth_model.pseudo_label.teachers import estimator_of

    estimator = estimator_of(teacher_folder(), short_side)
    if not estimator.stored:
        return {MODELS[0]: estimator}
    print("the teacher is a folder of predictions of other images: only the student is measured", file=sys.stderr)
    return {}
