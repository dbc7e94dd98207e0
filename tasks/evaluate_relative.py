"""Stage `evaluate_relative@<set>`: zero-shot relative depth of teacher and student on one evaluation set."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.datasets.sample import BadInput
from tasks import entry, params, tracking
from tasks.workspace import Workplace, produce

if TYPE_CHECKING:
    import pandas as pd

    from depth_model.datasets.source import SourceFolder
    from depth_model.evaluation.protocols import Protocol
    from depth_model.inference import DepthPredictor

MODELS = ("teacher", "student")
REPORTS = Path("reports/evaluation/relative")
EXAMPLES = 4


def _build(place: Workplace, name: str, settings: params.Params) -> None:
    from depth_model.datasets.source import SourceFolder
    from depth_model.evaluation.protocols import GENERIC
    from depth_model.inference import DepthPredictor
    from depth_model.networks import DepthAnything
    from depth_model.training.loop import best_device

    models = {
        model: DepthPredictor(
            DepthAnything.load(Path("models", model)).to(best_device()), settings.evaluation.short_side
        )
        for model in MODELS
    }
    source = SourceFolder(Path("data/evaluation", name))
    with tracking.stage_run(f"evaluate_relative@{name}", settings.evaluation.model_dump(), place) as run:
        table, skipped = measured(f"sources.evaluation.{name}", models, source, GENERIC)
        _write(place, name, table, skipped, models, source)
        _log(run, place)


def measured(
    name: str, models: Mapping[str, DepthPredictor], source: SourceFolder, protocol: Protocol
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return what `depth_model.evaluation.relative.evaluate` does, with progress on stderr.

    Raises StageError that calls the set `name` when not a single image could be measured.
    """
    from depth_model.evaluation.relative import evaluate
    from depth_model.progress import progress_bar

    try:
        with progress_bar(f"evaluate {name.rpartition('.')[2]}", len(source), "images") as bar:
            table, skipped = evaluate(models, source, protocol, bar.update)
    except BadInput as error:
        raise entry.StageError(f"{name}: {error}") from error
    if table.empty:
        counts = Counter(one["reason"] for one in skipped).most_common(3)
        reasons = "; ".join(f"{reason} ({count} of {len(source)})" for reason, count in counts) or "the set is empty"
        raise entry.StageError(f"{name}: no image could be measured: {reasons}")
    return table, skipped


def _write(
    place: Workplace,
    name: str,
    table: pd.DataFrame,
    skipped: list[dict[str, str]],
    models: dict[str, DepthPredictor],
    source: SourceFolder,
) -> None:
    from depth_model.evaluation.protocols import GENERIC
    from depth_model.evaluation.relative import collapsed, means

    folder = place.result / "details"
    folder.mkdir()
    table.to_parquet(folder / "per_image.parquet", index=False)
    files.write_bytes(folder / "examples.png", _figure(table, models, source))
    summary: dict[str, Any] = {
        "set": name,
        "images": int(table["key"].nunique()),
        "skipped": skipped,
        "constant_predictions": collapsed(table),
        "protocol": {"alignment": "least squares in disparity", "minimum": GENERIC.minimum, "maximum": GENERIC.maximum},
        "models": means(table),
    }
    files.write_json(place.result / "summary.json", summary)


def _figure(table: pd.DataFrame, models: dict[str, DepthPredictor], source: SourceFolder) -> bytes:
    from depth_model.evaluation.figures import examples_figure
    from depth_model.evaluation.protocols import GENERIC
    from depth_model.evaluation.relative import chosen_examples, example

    keys = source.manifest["key"].tolist()
    chosen = chosen_examples(table, MODELS[-1], EXAMPLES)
    return examples_figure([example(models, source, keys.index(key), table, GENERIC) for key in chosen])


def _log(run: tracking.Run, place: Workplace) -> None:
    summary = json.loads((place.result / "summary.json").read_text(encoding="utf-8"))
    for model, measured in summary["models"].items():
        run.log_metrics({f"{model}/{metric}": value for metric, value in measured.items()})
    run.artifact(place.result / "details" / "examples.png", "figures")


def main() -> None:
    """Evaluate both models on the set that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tasks.evaluate_relative", description=__doc__)
    parser.add_argument("set", help="a name of sources.evaluation in params.yaml")
    name = parser.parse_args().set
    settings = params.load()
    settings.source("evaluation", name)
    produce(
        f"evaluate_relative@{name}",
        inputs={
            "evaluation": settings.evaluation.model_dump(),
            "manifest": files.sha256(Path("data/evaluation", name, "manifest.parquet")),
            **{model: files.sha256(Path("models", model, "model.safetensors")) for model in MODELS},
        },
        outs={"details": REPORTS / name, "summary.json": REPORTS / f"{name}.json"},
        build=lambda place: _build(place, name, settings),
    )


if __name__ == "__main__":
    entry.run(main)
