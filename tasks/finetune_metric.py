"""Stage `finetune_metric@<set>`: metric depth for one kind of scene (paper 4.3), from the student's encoder."""

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
    from depth_model.metric.training.train import MetricSettings
    from depth_model.training.loop import OnMetrics

def model_name(name: str) -> str:
    """Return the folder below `models/` of the model that is fine-tuned under `finetune_metric.<name>`."""
    return finetuned_model("metric", name)


def _settings(wanted: params.FinetuneMetric) -> MetricSettings:
    from depth_model.metric.training.augmentation import MetricInput
    from depth_model.metric.training.train import MetricSettings

    given = wanted.model_dump(exclude={"source", "initial", "height", "width", "crop", "brightness"})
    shown = MetricInput(**wanted.model_dump(include={"height", "width", "crop", "brightness"}))
    return MetricSettings(**given, input=shown)


def _learn(name: str, settings: params.Params, scratch: Path, on_metrics: OnMetrics) -> Any:
    from depth_model.metric.training.train import train_metric

    wanted = settings.section("finetune_metric", name)
    return train_metric(
        source_pool("metric", wanted.source),
        initial_weights(wanted.initial),
        settings.initial_encoder(wanted.initial),
        name,
        _settings(wanted),
        loop_settings(settings),
        settings.seed,
        scratch,
        on_metrics,
    )


def main() -> None:
    """Fine-tune to metres into models/metric/<set>; continues after a kill."""
    parser = argparse.ArgumentParser(prog="python -m tasks.finetune_metric", description=__doc__)
    parser.add_argument("set", help="a name below `finetune_metric` in params.yaml")
    name = parser.parse_args().set
    settings = params.load()
    wanted = settings.section("finetune_metric", name)
    stage = finetuning_stage("metric", name, wanted.initial, settings)
    train_stage(
        stage,
        {"finetune_metric": wanted.model_dump()},
        settings,
        lambda scratch, on_metrics: _learn(name, settings, scratch, on_metrics),
    )


if __name__ == "__main__":
    entry.run(main)
