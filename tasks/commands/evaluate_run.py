"""One set, some models, one protocol: measure what is missing, then write the tables and figures of a folder."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import UserError, named
from depth_model.reading.reader import files_below
from tasks.commands.shared import value_of
from tasks.settings import params

if TYPE_CHECKING:
    import pandas as pd

    from depth_model.evaluation.adapters import Settings
    from depth_model.evaluation.cases import ReadCases
    from depth_model.evaluation.protocols import Protocol
    from depth_model.evaluation.run import Result

EXAMPLES, WORST = 6, 20
TOLD = 10


@dataclass(frozen=True)
class Plan:
    """What to evaluate: title -> model (path or hub id), how, on which cases, and the folder for the results."""

    title: str
    models: Mapping[str, str]
    settings: Settings
    cases: ReadCases
    protocol: Protocol
    folder: Path
    processes: int = 1


def evaluated(plan: Plan) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure every model of `plan`, going on where an earlier call stopped; return summary and table, both written.

    Raises UserError for a model that cannot be loaded and when no image could be measured.
    """
    from tasks.evaluation.evaluated import check_measured, summary_of

    by_model = {title: _results(plan, title, model) for title, model in plan.models.items()}
    table, skipped = _joined(by_model, plan.protocol)
    check_measured(plan.title, table, skipped, len(plan.cases))
    _tell(plan, skipped)
    summary = summary_of(plan.title, table, skipped, plan.protocol)
    with files.atomic_path(plan.folder / "per_image.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    files.write_json(plan.folder / "summary.json", summary)
    return summary, table


def _results(plan: Plan, title: str, model: str) -> list[Result]:
    from depth_model.evaluation.run import Job, finished_results
    from depth_model.progress import progress_bar

    job = Job(title, model, plan.settings, plan.cases, plan.protocol)
    folder = plan.folder / "runs" / title
    with named(f"--model {model}", ValueError), progress_bar(f"evaluate {title}", len(plan.cases), "images") as bar:
        return finished_results(job, folder, _fingerprint(job, model), plan.processes, bar.update)


def _fingerprint(job: Any, model: str) -> str:
    from importlib.metadata import version

    from depth_model.evaluation.protocols import described

    cases = job.cases
    return files.sha256_of_json(
        {
            "version": version("open-depth-anything"),
            "model": _identity(Path(model)),
            "settings": asdict(job.settings),
            "protocol": described(job.protocol),
            "reader": cases.reader,
            "root": str(cases.root.resolve()),
            "options": asdict(cases.options),
            "keys": [item.key for item in cases.items],
        }
    )


def _identity(path: Path) -> Any:
    """Return what tells a model from another: checksums of its files; size and time of predictions; a hub's name."""
    if path.is_file():
        return files.sha256(path)
    if (path / "config.json").is_file():
        return {one.name: files.sha256(one) for one in sorted(path.iterdir()) if one.is_file()}
    return list(files_below(path)) if path.is_dir() else str(path)


def _joined(
    by_model: Mapping[str, list[Result]], protocol: Protocol
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return the table of the images that every model was measured on, and the others with the first reason."""
    from depth_model.evaluation.harness import CONSTANT, table_of

    rows, skipped = [], []
    for results in zip(*by_model.values(), strict=True):
        reasons = [result["reason"] for result in results if "reason" in result]
        if reasons:
            skipped.append({"key": results[0]["key"], "reason": reasons[0]})
            continue
        rows += [row for result in results for row in result["rows"] if row["model"] != CONSTANT]
        rows += [row for row in results[0]["rows"] if row["model"] == CONSTANT]
    return table_of(rows, protocol), skipped


def _tell(plan: Plan, skipped: Sequence[Mapping[str, str]]) -> None:
    for one in skipped[:TOLD]:
        print(f"not measured: {one['key']}: {one['reason']}", file=sys.stderr)
    if len(skipped) > TOLD:
        print(f"not measured: {len(skipped) - TOLD} more, see summary.json", file=sys.stderr)
    measured = len(plan.cases) - len(skipped)
    published = plan.protocol.images
    if published not in (None, measured):
        print(f"note: {plan.protocol.name} is about {published} images, these are {measured}", file=sys.stderr)


def draw(plan: Plan, table: pd.DataFrame) -> None:
    """Write as pictures, all models side by side on one scale of colours: examples from the first model's best image to
    its worst (as Figures 3 and 4 of the paper show them), and the worst twenty images of each model."""
    from depth_model.evaluation import adapters
    from depth_model.evaluation.figures import examples_figure
    from depth_model.evaluation.harness import chosen_examples, example, worst

    models = {title: adapters.load(model, plan.settings) for title, model in plan.models.items()}
    places = {plan.cases.key(index): index for index in range(len(plan.cases))}
    pictures = {"examples": chosen_examples(table, next(iter(models)), EXAMPLES)}
    pictures |= {f"worst-{title}": worst(table, title, WORST) for title in models}
    for name, keys in pictures.items():
        shown = [example(models, plan.cases.load(places[key]), table, plan.protocol) for key in keys]
        files.write_bytes(plan.folder / f"{name}.png", examples_figure(shown))


def titles(models: Sequence[str]) -> dict[str, str]:
    """Return title -> model: the last part of each name, or what stands before `=`.

    Raises UserError for two of one title, and for the title of the constant.
    """
    from depth_model.evaluation.harness import CONSTANT

    named: dict[str, str] = {}
    for model in models:
        title, separator, path = model.partition("=")
        title, path = (title, path) if separator else (Path(model).name, model)
        title = re.sub(r"[^A-Za-z0-9_.-]", "-", title).strip(".") or "model"
        if title in named or title == CONSTANT:
            raise UserError(f"--model {model}: another model is called {title!r}; name it: --model NAME={path}")
        named[title] = path
    return named


def changed(protocol: Protocol, changes: Sequence[tuple[str, str]]) -> Protocol:
    """Return `protocol` with `changes` (key, value as YAML); raises UserError for a key or a value that is wrong."""
    known = [field.name for field in fields(protocol) if field.name not in ("name", "note", "reader", "options")]
    for key, text in changes:
        if key not in known:
            raise UserError(f"--change {key}: a protocol has no such key; there are: {', '.join(known)}")
        value = value_of(text)
        value = tuple(value) if isinstance(value, list) else value
        default = getattr(protocol, key)
        if isinstance(default, bool) != isinstance(value, bool) or isinstance(default, str) != isinstance(value, str):
            raise UserError(f"--change {key}={text}: is now {default!r}; give the same kind of value")
        with named(f"--change {key}={text}", ValueError, TypeError):
            protocol = replace(protocol, **{key: value}, name=f"{protocol.name}+{key}={text}")
    return protocol


def chosen_cases(source: params.Source, listed: Path | None) -> ReadCases:
    """Return the cases of `source`, or those that the list file names.

    A reader with an option `list` reads the list in its own way; of another, the first word of each line is a key or a
    path below the root. Raises UserError.
    """
    from depth_model.evaluation.cases import read_cases

    options = source.chosen_options()
    root = Path(source.root or "")
    if listed is not None and not listed.is_file():
        raise UserError(f"--list {listed}: there is no such file")
    names = None
    if listed is not None:
        if "list" in {field.name for field in fields(options)}:
            options = replace(options, list=str(listed.resolve()))
        else:
            names = [line.split()[0] for line in listed.read_text("utf-8").splitlines() if line.strip()]
    with named(f"--root {source.root}", OSError):
        return read_cases(source.reader, root, options, names)


def result_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the table of means, the interval of the first metric of each model, and the paired differences."""
    models, images = summary["models"], summary["images"]
    width = max(10, *(len(model) + 1 for model in models))
    lines = [f"{'':{width}}" + "".join(f"{metric:>12}" for metric in next(iter(models.values())))]
    for model, values in models.items():
        cells = (f"{math.nan if value is None else value:12.4f}" for value in values.values())
        lines.append(f"{model:{width}}" + "".join(cells))
    lines.append(f"mean over {images} {'image' if images == 1 else 'images'}, {summary['protocol']['name']}")
    for model, values in summary["intervals"].items():
        lines.append(f"{model}: AbsRel {_interval(values['abs_rel'])}")
    for pair, values in summary["differences"].items():
        lines.append(f"{pair}: AbsRel {_interval(values['abs_rel'], '+')}, delta1 {_interval(values['delta1'], '+')}")
    return lines


def _interval(values: Mapping[str, float], sign: str = "") -> str:
    return f"{values['mean']:{sign}.4f} (95 %: {values['low']:{sign}.4f} to {values['high']:{sign}.4f})"
