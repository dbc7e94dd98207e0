"""Where the files lie that one stage leaves and another reads, relative to the root of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_model import files

ACCEPTED = Path("accepted.json")
AUDIT_REPORT = Path("reports/audit")
SCENES_REPORT = Path("reports/collection")
ENCODER = "encoder.json"
"""The file in a folder of `data/models` that names an encoder which needs no file: packaged, hub or none."""
METRICS = Path("reports/metrics.json")
TABLES = Path("reports/tables")
COMPARISON = TABLES / "comparison.json"
"""What `depth_model.evaluation.verdict.comparison` finds of the student."""
HELD_OUT = "held_out"
"""The evaluation set that is the held-out part of the labeled sources."""
MODELS = ("teacher", "student")
"""Names below `models/` of what the pipeline trains for relative depth."""
AUDITED = ("labeled", "unlabeled")
"""Roles whose samples the audit may exclude."""
HELD_OUT_FOLDER = Path("data/exclusions/held_out")
HELD_OUT_OF = ("labeled", "metric", "semantic")
"""Roles of which samples may be held out for validation."""


TEACHER = Path("models/teacher")
REFERENCE = TEACHER / "teacher.json"
"""Where the teacher is, in place of its weights, when it is a model of another kind or a folder of predictions."""


def given_path(role: str) -> Path:
    """Return where it is written which models from elsewhere the training of `role`, teacher or student, takes."""
    return Path("data/given", f"{role}.json")


def teacher_folder() -> Path:
    """Return the folder of what labels: models/teacher, or the one that it refers to."""
    return Path(files.read_json(REFERENCE)["folder"]) if REFERENCE.is_file() else TEACHER


def inventory_path(role: str, name: str) -> Path:
    """Return where the inventory of one source lies."""
    return Path("data/inventory", role, f"{name}.json")


def measured_sets() -> list[str]:
    """Return the sets that models of relative depth are measured on: the catalog's, and first what is held out."""
    held_out = summary_path("relative", HELD_OUT)
    own = [HELD_OUT] if held_out.exists() and files.read_json(held_out)["images"] else []
    return [*own, *files.read_json(catalog_path("evaluation"))]


def known_path(role: str, name: str) -> Path:
    """Return where the inventory says what the reader of one source knows of its classes."""
    return Path("data/inventory", role, f"{name}.reader.json")


def role_path(role: str) -> Path:
    """Return where the inventory says which sources a role has, and what the gate must know of them."""
    return Path("data/inventory", f"{role}.json")


def known_sources(role: str) -> dict[str, dict[str, Any]]:
    """Return what the inventory knows of each source of `role`, in the order of params.yaml."""
    return files.read_json(role_path(role))


def catalog_path(role: str) -> Path:
    """Return where the catalog of `role` lies."""
    return Path("data/catalog", f"{role}.json")


def statistics_path(role: str) -> Path:
    """Return where the statistics of all sources of `role` and their drift lie.

    Those of pseudo labels lie elsewhere, so that a stage which depends on all others does not wait for the teacher.
    """
    return Path("data/catalog/pseudo_statistics.json") if role == "pseudo" else Path("data/statistics", f"{role}.json")


def exclusions_path(role: str) -> Path:
    """Return where the audit lists the samples of `role` to leave out."""
    return Path("data/exclusions", f"{role}.parquet")


def held_out_path(role: str) -> Path:
    """Return where the audit lists the samples of `role` (one of HELD_OUT_OF) that trainings are measured on."""
    return HELD_OUT_FOLDER / f"{role}.parquet"


def evaluation_path(kind: str, name: str) -> Path:
    """Return the folder of the details of one evaluation; `kind` is relative, metric or semantic."""
    return Path("reports/evaluation", kind, name)


def summary_path(kind: str, name: str) -> Path:
    """Return where the figures of one evaluation lie, beside the folder of its details."""
    return evaluation_path(kind, name).with_suffix(".json")
