"""Stage `describe`: which scenes the training images show, and the statistics of every source for MLflow.

Writes `reports/collection/`: `scenes.json` and a picture of each scene. Nothing that learns depends on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.paths import AUDITED, catalog_path, statistics_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.audit.scenes import Scene


def _found(settings: params.Params, catalogs: dict[str, Any]) -> list[Scene]:
    from depth_model.audit.scenes import scenes
    from depth_model.networks import frozen_encoder
    from depth_model.shards.source import SourceFolder

    encoder = frozen_encoder(settings.student.encoder, _weights(settings), settings.seed)
    sources = {f"{role}/{name}": SourceFolder(Path("data", role, name)) for role in AUDITED for name in catalogs[role]}
    return scenes(sources, encoder, settings.feature_alignment.block, settings.seed)


def _weights(settings: params.Params) -> str:
    """Return the weights that the student's encoder starts from."""
    from depth_model.networks.provenance import weights_path

    whole = settings.starts_whole("student")
    return str(weights_path(settings.student.initial)) if whole else settings.encoder.weights


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write `reports/collection/`."""
    from depth_model.audit.scenes import evenness

    catalogs = {role: files.read_json(catalog_path(role)) for role in AUDITED}
    with mlflow_runs.stage_run(workplace) as run:
        found = _found(settings, catalogs)
        for number, scene in enumerate(found):
            files.write_bytes(workplace.out() / f"scene-{number:02d}.jpg", scene.pictures)
        by_role = {role: [_of_role(scene, role) for scene in found] for role in AUDITED}
        summary = {
            "encoder": f"{settings.student.encoder}, {_weights(settings)}",
            "images": {f"{role}/{name}": one["samples"] for role in AUDITED for name, one in catalogs[role].items()},
            "effective": {role: evenness(counts) for role, counts in by_role.items()},
            "scenes": [scene.counts for scene in found],
        }
        files.write_json(workplace.out() / "scenes.json", summary)
        run.log_metrics({f"effective_scenes/{role}": value for role, value in summary["effective"].items()})
        for role in params.ROLES:
            run.log_metrics(source_metrics(role, files.read_json(statistics_path(role))))
            run.artifact(statistics_path(role), "statistics")
        run.artifact(workplace.out(), "scenes")


def _of_role(scene: Scene, role: str) -> float:
    return sum(count for name, count in scene.counts.items() if name.startswith(f"{role}/"))


def source_metrics(role: str, described: dict[str, Any]) -> dict[str, float]:
    """Return what `data/statistics/<role>.json` says of each source as metrics `<what>/<role>/<source>`."""
    from depth_model.shards.target_statistics import degenerate

    found: dict[str, float] = {}
    for name, one in described["sources"].items():
        address = f"{role}/{name}"
        found[f"samples/{address}"] = one["samples"]
        found[f"refused/{address}"] = sum(one["refused"].values())
        found[f"degenerate/{address}"] = degenerate(one)
        for kind, (low, high) in one["ranges"].items():
            found |= {f"{kind}_from/{address}": low, f"{kind}_to/{address}": high}
    return found | {f"drift/{role}/{source}/{what}": distance for source, what, distance in described["drift"]}
