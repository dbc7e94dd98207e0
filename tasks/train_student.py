"""Stage `train_student`: the student, from labels and pseudo labels (paper 3.2 and 3.3)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import entry
from tasks.settings import params
from tasks.training.stage import TrainingStage, pool, train_stage, training_settings

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def _learn(settings: params.Params, scratch: Path, on_metrics: OnMetrics) -> Any:
    from depth_model.training.augmentation import Perturbation
    from depth_model.training.student import FeatureAlignment, StudentSettings, train_student

    perturbation = settings.student.perturbation.model_dump()
    perturbation["blur_sigma"] = tuple(perturbation["blur_sigma"])
    chosen = settings.student
    given = chosen.model_dump(exclude={"minimum_quality"}) | {"perturbation": Perturbation(**perturbation)}
    return train_student(
        pool("labeled", "sky"),
        pool("unlabeled", "pseudo", chosen.minimum_quality),
        settings.encoder.weights,
        StudentSettings(**given),
        FeatureAlignment(alpha=settings.alpha, **settings.feature_alignment.model_dump()),
        training_settings(settings),
        settings.seed,
        scratch,
        on_metrics,
    )


def main() -> None:
    """Train the student into models/student; continues after a kill."""
    argparse.ArgumentParser(prog="python -m tasks.train_student", description=__doc__).parse_args()
    settings = params.load()
    used = {
        "alpha": settings.alpha,
        "student": settings.student.model_dump(),
        "feature_alignment": settings.feature_alignment.model_dump(),
    }
    stage = TrainingStage(
        "train_student",
        "student",
        ("labeled", "sky", "unlabeled", "pseudo"),
        settings.encoder.weights,
        settings.training.model_dump(),
    )
    train_stage(
        stage,
        used,
        settings,
        lambda scratch, on_metrics: _learn(settings, scratch, on_metrics),
    )


if __name__ == "__main__":
    entry.run(main)
