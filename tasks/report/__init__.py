"""Stage `report`: one self-contained page with what came out. No network, no times, no paths of the machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from depth_model import files
from tasks import entry
from tasks.audit import REPORT as AUDIT
from tasks.describe import REPORT as SCENES
from tasks.evaluate_metric import REPORTS as METRIC_REPORTS
from tasks.evaluate_relative import MODELS, REPORTS
from tasks.evaluate_semantic import REPORTS as SEMANTIC_REPORTS
from tasks.gate.statistics import statistics_path
from tasks.report.audit import audit_section
from tasks.report.collection import collection_section
from tasks.report.metric import metric_section
from tasks.report.pages import html_table, page
from tasks.report.scenes import scenes_section
from tasks.report.semantic import semantic_section
from tasks.settings import params
from tasks.workspace.work import Workplace, produce

CATALOGS = (*params.ROLES, "sky", "pseudo")


def _catalog(role: str) -> Path:
    return Path("data/catalog", f"{role}.json")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _training_curves(alpha: float) -> bytes:
    import pandas as pd

    from depth_model.evaluation.figures import training_figure

    return training_figure({model: pd.read_csv(Path("models", model, "history.csv")) for model in MODELS}, alpha)


def quarantine_reasons() -> list[tuple[str, str, int]]:
    """Return (source, reason, number of inputs) of everything that the sources of params.yaml refused."""
    from depth_model.shards import manifest

    rows = []
    for role in params.ROLES:
        for name in _read(_catalog(role)):
            table = manifest.read_frame(Path("data", role, name, manifest.QUARANTINE))
            counts = table.groupby("reason", observed=True).size()
            rows += [(f"{role}/{name}", str(reason), int(count)) for reason, count in counts.items()]
    return rows


def low_quality(minimum: float) -> list[tuple[str, int, int]]:
    """Return (source, images whose pseudo label scores below `minimum`, all its images); nothing for a minimum of 0."""
    from depth_model.shards import manifest

    found = []
    for name in _read(_catalog("pseudo")) if minimum else {}:
        path = Path("data/pseudo", name, manifest.SIDECAR)
        if "quality" in manifest.schema(path).names:
            scores = manifest.read_frame(path, ["quality"])["quality"]
            found.append((name, int((scores < minimum).sum()), len(scores)))
    return found


def _left_out(minimum: float) -> dict[str, str]:
    """Return the section on pseudo labels that the student did without; none when there is no minimum."""
    rows = [("", [escape(source), str(out), str(images)]) for source, out, images in low_quality(minimum)]
    title = f"Pseudo labels left out: quality below {minimum:g}"
    return {title: html_table(["source", "left out", "of"], rows, texts=1)} if rows else {}


def _audit() -> str:
    summary = _read(AUDIT / "summary.json")
    return audit_section(summary, {one["picture"]: (AUDIT / one["picture"]).read_bytes() for one in summary["pairs"]})


def _scenes() -> str:
    summary = _read(SCENES / "scenes.json")
    pictures = [(SCENES / f"scene-{number:02d}.jpg").read_bytes() for number in range(len(summary["scenes"]))]
    return scenes_section(summary, pictures)


def _collection(settings: params.Params) -> str:
    from depth_model.evaluation.collection_figure import collection_figure

    found = {role: one for role in params.ROLES if (one := _read(statistics_path(role)))["sources"]}
    figures = {role: collection_figure(one["sources"]) for role, one in found.items()}
    return collection_section(found, figures, settings.drift.tolerance)


def _metric(settings: params.Params) -> str:
    names = list(settings.evaluate_metric)
    pictures = {name: (METRIC_REPORTS / name / "examples.png").read_bytes() for name in names}
    return metric_section({name: _read(METRIC_REPORTS / f"{name}.json") for name in names}, pictures)


def _semantic(settings: params.Params) -> str:
    names = list(settings.evaluate_semantic)
    pictures = {
        f"{title} of {name}": (SEMANTIC_REPORTS / name / file).read_bytes()
        for name in names
        for title, file in (("Labels", "examples.png"), ("Confusion matrix", "confusion.png"))
    }
    return semantic_section({name: _read(SEMANTIC_REPORTS / f"{name}.json") for name in names}, pictures)


def _evaluated(folder: Path, names: Iterable[str]) -> list[Path]:
    return [path for name in names for path in (folder / f"{name}.json", folder / name / "examples.png")]


def _build(place: Workplace, settings: params.Params) -> None:
    content = page(
        figures=_read(Path("reports/metrics.json")),
        sets={name: _read(REPORTS / f"{name}.json") for name in settings.sources.evaluation},
        examples={name: (REPORTS / name / "examples.png").read_bytes() for name in settings.sources.evaluation},
        curves=_training_curves(settings.alpha),
        catalogs={role: _read(_catalog(role)) for role in CATALOGS},
        quarantine=quarantine_reasons(),
        more=_left_out(settings.student.minimum_quality)
        | {
            "Metric depth": _metric(settings),
            "Segmentation": _semantic(settings),
            "Collection": _collection(settings),
            "Scenes": _scenes(),
            "Duplicates and leaks": _audit(),
        },
        parameters=settings.model_dump(mode="json", exclude={"sources", "resume"}),
    )
    files.write_text(place.result / "index.html", content)


def main() -> None:
    """Write reports/index.html."""
    argparse.ArgumentParser(prog="python -m tasks.report", description=__doc__).parse_args()
    settings = params.load()
    read = [Path("reports/metrics.json"), AUDIT / "summary.json", SCENES / "scenes.json", *map(_catalog, CATALOGS)]
    read += _evaluated(REPORTS, settings.sources.evaluation) + _evaluated(METRIC_REPORTS, settings.evaluate_metric)
    read += map(statistics_path, params.ROLES)
    read += _evaluated(SEMANTIC_REPORTS, settings.evaluate_semantic)
    read += [Path("models", model, "history.csv") for model in MODELS]
    produce(
        "report",
        inputs={
            "parameters": settings.model_dump(mode="json", exclude={"resume"}),
            **{path.as_posix(): files.sha256(path) for path in read},
        },
        outs={"index.html": Path("reports/index.html")},
        build=lambda place: _build(place, settings),
    )


if __name__ == "__main__":
    entry.run(main)
