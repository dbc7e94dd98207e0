"""Stage `finetune_semantic@<set>`: segmentation (paper 4.4), from the student's encoder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import entry
from tasks.settings import params
from tasks.training.stage import (
    finetuned_model,
    finetuning_stage,
    initial_weights,
    loop_settings,
    source_pool,
    train_stage,
)

if TYPE_CHECKING:
    from depth_model.semantic.training.train import SemanticSettings
    from depth_model.training.loop import OnMetrics


def model_name(name: str) -> str:
    """Return the folder below `models/` of the model that is fine-tuned under `finetune_semantic.<name>`."""
    return finetuned_model("semantic", name)


def class_list(source: str, settings: params.Params) -> str:
    """Return the name of the class list that the labels of a semantic source follow: that of its reader."""
    return settings.source("semantic", source).reader


def _settings(wanted: params.FinetuneSemantic) -> SemanticSettings:
    from depth_model.semantic.heads.mask2former import Mask2FormerSettings
    from depth_model.semantic.training.train import SemanticSettings

    given = wanted.model_dump(exclude={"source", "initial", "head", "mask2former", "crop"})
    head = Mask2FormerSettings(**wanted.mask2former.model_dump()) if wanted.mask2former else wanted.head
    return SemanticSettings(**given, head=head, side=wanted.crop)


def _learn(name: str, settings: params.Params, scratch: Path, on_metrics: OnMetrics) -> Any:
    from depth_model.semantic.classes import class_lists
    from depth_model.semantic.training.train import train_semantic

    wanted = settings.section("finetune_semantic", name)
    return train_semantic(
        source_pool("semantic", wanted.source),
        initial_weights(wanted.initial),
        settings.initial_encoder(wanted.initial),
        class_lists()[class_list(wanted.source, settings)],
        _settings(wanted),
        loop_settings(settings),
        settings.seed,
        scratch,
        on_metrics,
    )


def main() -> None:
    """Fine-tune to segmentation into models/semantic/<set>; continues after a kill."""
    parser = argparse.ArgumentParser(prog="python -m tasks.finetune_semantic", description=__doc__)
    parser.add_argument("set", help="a name below `finetune_semantic` in params.yaml")
    name = parser.parse_args().set
    settings = params.load()
    wanted = settings.section("finetune_semantic", name)
    stage = finetuning_stage("semantic", name, wanted.initial, settings)
    train_stage(
        stage,
        {"finetune_semantic": wanted.model_dump(), "classes": class_list(wanted.source, settings)},
        settings,
        lambda scratch, on_metrics: _learn(name, settings, scratch, on_metrics),
    )


if __name__ == "__main__":
    entry.run(main)
