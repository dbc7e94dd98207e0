"""Stage `describe`: which scenes the training images show, and the statistics of every source for MLflow.

Writes `reports/collection/`: `scenes.json` and a picture of each scene. Nothing that learns depends on it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks import entry
from tasks.gate.statistics import statistics_path
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.training.stage import AUDITED, catalog_path, weights_inputs
from tasks.workspace.work import Workplace, produce

if TYPE_CHECKING:
    from depth_model.audit.scenes import Scene

REPORT = Path("reports/collection")


def _found(settings: params.Params, catalogs: dict[str, Any]) -> list[Scene]:
    from depth_model.audit.scenes import scenes
    from depth_model.networks import BadCheckpoint, BadWeights, PackagedEncoderMissing, frozen_encoder
    from depth_model.shards.source import SourceFolder

    try:
        encoder = frozen_encoder(settings.student.encoder, settings.encoder.weights, settings.seed)
    except (BadCheckpoint, BadWeights, PackagedEncoderMissing) as error:
        raise entry.StageError(f"params.yaml: encoder.weights: {error}") from error
    sources = {
        f"{role}/{name}": SourceFolder(Path("data", role, name)) for role in AUDITED for name in catalogs[role]
    }
    return scenes(sources, encoder, settings.feature_alignment.block, settings.seed)


def _build(place: Workplace, settings: params.Params, catalogs: dict[str, Any]) -> None:
    from depth_model.audit.scenes import evenness

    logged = {"encoder": settings.student.encoder, "weights": settings.encoder.weights, "seed": settings.seed}
    with mlflow_runs.stage_run("describe", logged, place) as run:
        found = _found(settings, catalogs)
        for number, scene in enumerate(found):
            files.write_bytes(place.result / "report" / f"scene-{number:02d}.jpg", scene.pictures)
        by_role = {role: [_of_role(scene, role) for scene in found] for role in AUDITED}
        summary = {
            "encoder": f"{settings.student.encoder}, {settings.encoder.weights}",
            "images": {f"{role}/{name}": one["samples"] for role in AUDITED for name, one in catalogs[role].items()},
            "effective": {role: evenness(counts) for role, counts in by_role.items()},
            "scenes": [scene.counts for scene in found],
        }
        files.write_json(place.result / "report" / "scenes.json", summary)
        run.log_metrics({f"effective_scenes/{role}": value for role, value in summary["effective"].items()})
        for role in params.ROLES:
            run.log_metrics(source_metrics(role, json.loads(statistics_path(role).read_text(encoding="utf-8"))))
            run.artifact(statistics_path(role), "statistics")
        run.artifact(place.result / "report", "scenes")


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


def main() -> None:
    """Write `reports/collection/`."""
    argparse.ArgumentParser(prog="python -m tasks.describe", description=__doc__).parse_args()
    settings = params.load()
    read = [*map(catalog_path, AUDITED), *map(statistics_path, params.ROLES)]
    if missing := [str(path) for path in read if not path.exists()]:
        raise entry.StageError(f"{', '.join(missing)} is not there; 'dvc repro describe' makes it")
    produce(
        "describe",
        inputs={
            "encoder": [settings.student.encoder, weights_inputs(settings.encoder.weights)],
            "block": settings.feature_alignment.block,
            "seed": settings.seed,
            **{path.as_posix(): files.sha256(path) for path in read},
        },
        outs={"report": REPORT},
        build=lambda place: _build(
            place, settings, {role: json.loads(catalog_path(role).read_text(encoding="utf-8")) for role in AUDITED}
        ),
    )


if __name__ == "__main__":
    entry.run(main)
