"""Stage `train_teacher`: the teacher, from the labeled catalog and its sky masks (paper 3.1)."""

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
    from depth_model.training.teacher import TeacherSettings, train_teacher

    return train_teacher(
        pool("labeled", "sky"),
        settings.encoder.weights,
        TeacherSettings(**settings.teacher.model_dump()),
        training_settings(settings),
        settings.seed,
        scratch,
        on_metrics,
    )


def main() -> None:
    """Train the teacher into models/teacher; continues after a kill."""
    argparse.ArgumentParser(prog="python -m tasks.train_teacher", description=__doc__).parse_args()
    settings = params.load()
    stage = TrainingStage(
        "train_teacher",
        "teacher",
        ("labeled", "sky"),
        settings.encoder.weights,
        settings.training.model_dump(),
    )
    train_stage(
        stage,
        {"teacher": settings.teacher.model_dump()},
        settings,
        lambda scratch, on_metrics: _learn(settings, scratch, on_metrics),
    )


if __name__ == "__main__":
    entry.run(main)
