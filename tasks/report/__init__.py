"""Stage `report`: one self-contained page with what came out. No network, no times, no paths of the machine."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from depth_model import files
from tasks.report import sections
from tasks.settings import params
from tasks.workspace.paths import (
    AUDIT_REPORT,
    COMPARISON,
    METRICS,
    MODELS,
    SCENES_REPORT,
    catalog_path,
    evaluation_path,
    measured_sets,
    statistics_path,
    summary_path,
)
from tasks.workspace.work import Workplace

CATALOGS = (*params.ROLES, "sky", "pseudo")


def _training_curves(alpha: float) -> bytes:
    import pandas as pd

    from depth_model.evaluation.figures import training_figure

    paths = {model: Path("models", model, "history.csv") for model in MODELS}
    return training_figure({model: pd.read_csv(path) for model, path in paths.items() if path.exists()}, alpha)


def quarantine_reasons() -> list[tuple[str, str, int]]:
    """Return (source, reason, number of inputs) of everything that the sources of params.yaml refused."""
    from depth_model.shards import manifest

    rows = []
    for role in params.ROLES:
        for name in files.read_json(catalog_path(role)):
            table = manifest.read_frame(Path("data", role, name, manifest.QUARANTINE))
            counts = table.groupby("reason", observed=True).size()
            rows += [(f"{role}/{name}", str(reason), int(count)) for reason, count in counts.items()]
    return rows


def low_quality(minimum: float) -> list[tuple[str, int, int]]:
    """Return (source, images whose pseudo label scores below `minimum`, all its images); nothing for a minimum of 0."""
    from depth_model.shards import manifest

    found = []
    for name in files.read_json(catalog_path("pseudo")) if minimum else {}:
        path = Path("data/pseudo", name, manifest.SIDECAR)
        if "quality" in manifest.schema(path).names:
            scores = manifest.read_frame(path, ["quality"])["quality"]
            found.append((name, int((scores < minimum).sum()), len(scores)))
    return found


def _left_out(minimum: float) -> dict[str, Markup]:
    """Return the section on pseudo labels that the student did without; none when there is no minimum."""
    rows = low_quality(minimum)
    title = f"Pseudo labels left out: quality below {minimum:g}"
    return {title: sections.left_out_section(rows)} if rows else {}


def _audit() -> Markup:
    summary = files.read_json(AUDIT_REPORT / "summary.json")
    pictures = {one["picture"]: (AUDIT_REPORT / one["picture"]).read_bytes() for one in summary["pairs"]}
    return sections.audit_section(summary, pictures)


def _scenes() -> Markup:
    summary = files.read_json(SCENES_REPORT / "scenes.json")
    pictures = [(SCENES_REPORT / f"scene-{number:02d}.jpg").read_bytes() for number in range(len(summary["scenes"]))]
    return sections.scenes_section(summary, pictures)


def _collection(settings: params.Params) -> Markup:
    from depth_model.evaluation.collection_figure import collection_figure

    found = {role: one for role in params.ROLES if (one := files.read_json(statistics_path(role)))["sources"]}
    figures = {role: collection_figure(one["sources"]) for role, one in found.items()}
    return sections.collection_section(found, figures, settings.drift.tolerance)


def _metric(settings: params.Params) -> Markup:
    names = list(settings.evaluate_metric)
    pictures = {name: (evaluation_path("metric", name) / "examples.png").read_bytes() for name in names}
    return sections.metric_section({name: files.read_json(summary_path("metric", name)) for name in names}, pictures)


def _semantic(settings: params.Params) -> Markup:
    names = list(settings.evaluate_semantic)
    pictures = {
        f"{title} of {name}": (evaluation_path("semantic", name) / file).read_bytes()
        for name in names
        for title, file in (("Labels", "examples.png"), ("Confusion matrix", "confusion.png"))
    }
    sets = {name: files.read_json(summary_path("semantic", name)) for name in names}
    return sections.semantic_section(sets, pictures)


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write reports/index.html."""
    sets = measured_sets()
    student = settings.student.initial if settings.starts_whole("student") else ""
    content = sections.page(
        history=sections.history(settings.teacher.model, student, bool(settings.sources.labeled)),
        comparison=files.read_json(COMPARISON),
        figures=files.read_json(METRICS),
        sets={name: files.read_json(summary_path("relative", name)) for name in sets},
        examples={name: (evaluation_path("relative", name) / "examples.png").read_bytes() for name in sets},
        curves=_training_curves(settings.alpha),
        catalogs={role: files.read_json(catalog_path(role)) for role in CATALOGS},
        quarantine=quarantine_reasons(),
        more=_left_out(settings.student.minimum_quality)
        | {
            "Metric depth": _metric(settings),
            "Segmentation": _semantic(settings),
            "Collection": _collection(settings),
            "Scenes": _scenes(),
            "Duplicates and leaks": _audit(),
        },
        parameters=dict(workplace.entry.parameters),
    )
    files.write_text(workplace.out(), content)
