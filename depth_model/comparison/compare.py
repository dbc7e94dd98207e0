"""Some models on one set by one protocol: evaluate what is missing, then write the files of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.comparison import adapters
from depth_model.comparison.reader_cases import ReadCases
from depth_model.comparison.run import Job, finished_results
from depth_model.errors import UserError
from depth_model.evaluation import results
from depth_model.evaluation.harness import Result, joined
from depth_model.evaluation.protocols import Protocol, described
from depth_model.evaluation.summary import check_evaluated, summary_of
from depth_model.progress import progress_bar
from depth_model.reading.reader import files_below

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 6


class ModelRefused(UserError):
    """A model that cannot be evaluated so; the message names it and says why."""


@dataclass(frozen=True)
class Plan:
    """What to evaluate: title -> path of a model, how, on which cases, and the folder for the results."""

    title: str
    models: Mapping[str, str]
    settings: adapters.Settings
    cases: ReadCases
    protocol: Protocol
    folder: Path
    processes: int = 1


def compare(plan: Plan) -> tuple[dict[str, Any], pd.DataFrame]:
    """Evaluate every model of `plan`, going on where an earlier call stopped; return summary and table, both written.

    Raises ModelRefused, UserError, and NothingEvaluated when not one image counts for a model.
    """
    by_model = [_results(plan, title, model) for title, model in plan.models.items()]
    table, skipped = joined(by_model, plan.protocol)
    check_evaluated(plan.title, table, skipped)
    summary = summary_of(plan.title, table, skipped, plan.protocol)
    results.write_table(plan.folder, table)
    files.write_json(plan.folder / "summary.json", summary)
    return summary, table


def _results(plan: Plan, title: str, model: str) -> list[Result]:
    job = Job(title, model, plan.settings, plan.cases, plan.protocol)
    try:
        with progress_bar(f"evaluate {title}", len(plan.cases), "images") as bar:
            return finished_results(job, plan.folder / "runs" / title, _fingerprint(job), plan.processes, bar.update)
    except (ValueError, UserError) as error:
        raise ModelRefused(f"--model {model}: {error}") from error


def _fingerprint(job: Job) -> str:
    cases = job.cases
    return files.sha256_of_json(
        {
            "version": version("open-depth-anything"),
            "model": _identity(Path(job.model)),
            "settings": asdict(job.settings),
            "protocol": described(job.protocol),
            "reader": cases.reader,
            "root": str(cases.root.resolve()),
            "options": asdict(cases.options),
            "keys": [item.key for item in cases.items],
        }
    )


def _identity(path: Path) -> Any:
    """Return what tells a model from another: checksums of its files; size and time of predictions."""
    if path.is_file():
        return files.sha256(path)
    if (path / "config.json").is_file():
        return files.hashes(path)
    return list(files_below(path))


def draw(plan: Plan, table: pd.DataFrame) -> None:
    """Leave pictures in the folder of `plan`: examples.png from the first model's best image to its worst, and
    worst-<model>.png, the worst twenty images of each model."""
    models = {title: adapters.load(model, plan.settings) for title, model in plan.models.items()}
    chosen = {"examples": results.examples(table, next(iter(models)), EXAMPLES)}
    chosen |= {f"worst-{title}": results.worst(table, title, results.WORST) for title in models}
    results.write_pictures(plan.folder, chosen, table, models, plan.cases, plan.protocol)
