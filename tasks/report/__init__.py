"""Stage `report`: one self-contained page with what came out. No network, no paths of the machine.

The one out of the pipeline that tells of the run itself, how long stages took and by which commit, so that its bytes
differ where all others are the same. No stage reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from markupsafe import Markup

from depth_model import files
from depth_model.evaluation.panels import read_panels
from tasks.report import run_graph, sections
from tasks.report.beside_paper import paper_section
from tasks.report.origin import origin
from tasks.report.pages import small
from tasks.settings import params
from tasks.tracking import evaluations
from tasks.workspace.entry import lock_entries
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
from tasks.workspace.repro import stage_graph
from tasks.workspace.work import Workplace, seconds_taken

CATALOGS = (*params.ROLES, "sky", "pseudo")
FINETUNED = ("metric", "semantic")
"""Folders below `models/` of what is fine-tuned."""


def _training_curves(alpha: float) -> dict[str, bytes]:
    import pandas as pd

    from depth_model.evaluation.figures import training_figures

    finetuned = sorted(path.parent for kind in FINETUNED for path in Path("models", kind).glob("*/history.csv"))
    folders = [*(Path("models", model) for model in MODELS), *finetuned]
    paths = {folder.relative_to("models").as_posix(): folder / "history.csv" for folder in folders}
    histories = {model: pd.read_csv(path) for model, path in paths.items() if path.exists()}
    return {title: small(picture) for title, picture in training_figures(histories, alpha).items()}


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
    figures = {role: small(collection_figure(one["sources"])) for role, one in found.items()}
    return sections.collection_section(found, figures, settings.drift.tolerance)


def _metric(settings: params.Params) -> Markup:
    names = list(settings.evaluate_metric)
    galleries = {name: read_panels(evaluation_path("metric", name)) for name in names}
    summaries = {name: files.read_json(summary_path("metric", name)) for name in names}
    return sections.metric_section(summaries, galleries, list(_told("metric", names)))


def _semantic(settings: params.Params) -> Markup:
    names = list(settings.evaluate_semantic)
    pictures = {
        f"{title} of {name}": small((evaluation_path("semantic", name) / file).read_bytes())
        for name in names
        for title, file in (("Labels", "examples.png"), ("Confusion matrix", "confusion.png"))
    }
    summaries = {name: files.read_json(summary_path("semantic", name)) for name in names}
    return sections.semantic_section(summaries, pictures, list(_told("semantic", names)))


def _told(kind: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from (evaluations.read_verdict(kind, name) or {"told": []})["told"]


def _run(workplace: Workplace) -> Markup:
    graph, lock, this = stage_graph(), lock_entries(workplace.stage), workplace.stage
    return sections.run_section(run_graph.stages(graph, lock, seconds_taken(), this), origin(lock))


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write reports/index.html."""
    sets = measured_sets()
    student = settings.student.initial if settings.starts_whole("student") else ""
    catalogs = {role: files.read_json(catalog_path(role)) for role in CATALOGS}
    content = sections.page(
        history=sections.history(settings.teacher.model, student, bool(settings.sources.labeled)),
        comparison=files.read_json(COMPARISON),
        verdicts=[*_told("metric", settings.evaluate_metric), *_told("semantic", settings.evaluate_semantic)],
        figures=files.read_json(METRICS),
        sets={name: files.read_json(summary_path("relative", name)) for name in sets},
        galleries={name: read_panels(evaluation_path("relative", name)) for name in sets},
        worst=sections.worst_cases(evaluations.tables("relative", sets)),
        more={
            "Metric depth": _metric(settings),
            "Segmentation": _semantic(settings),
            "Beside the paper": paper_section(),
            "Training": sections.training_section(_training_curves(settings.alpha)),
            "Data": sections.data_section(catalogs, quarantine_reasons()),
            "Collection": _collection(settings),
        }
        | _left_out(settings.student.minimum_quality)
        | {"Scenes": _scenes(), "Duplicates and leaks": _audit(), "The run": _run(workplace)},
        parameters=dict(workplace.entry.parameters),
    )
    files.write_text(workplace.out(), content)
