"""Stage `audit`: training images that an evaluation set holds too, or that stand twice, are listed to be left out.

Writes `data/exclusions/<role>.parquet`, of which the bytes change only when the list does, so that another
evaluation set retrains nothing unless a leak is found; and `reports/audit/`: counts, and pictures of the pairs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks import entry, params, tracking
from tasks.training import AUDITED, catalog_path, exclusions_path
from tasks.workspace import Workplace, produce

if TYPE_CHECKING:
    from depth_model.datasets.audit import Collection, Findings

REPORT = Path("reports/audit")
ROLES = (*AUDITED, "evaluation")
SHOWN = 24
"""Pairs of each reason that are shown with their pictures."""


def _build(place: Workplace, settings: params.Params, catalogs: dict[str, Any]) -> None:
    from depth_model.datasets import manifest
    from depth_model.datasets.audit import EVALUATION, TRAINING, AuditRules, Collection, audit, counts, exclusions

    data = Path("data")
    training, evaluation = Collection(data, catalogs, TRAINING), Collection(data, catalogs, EVALUATION)
    with tracking.stage_run("audit", settings.audit.model_dump(), place) as run:
        findings = audit(training, evaluation, AuditRules(**settings.audit.model_dump()))
        for role in AUDITED:
            table = exclusions(findings, training, evaluation, role)
            manifest.write_table(place.result / f"{role}.parquet", [table], table.schema, {})
        found = counts(findings, training)
        refuted = {"leaks": findings.refuted_leaks, "duplicates": findings.refuted_duplicates}
        pairs = _shown(place.result / "report", findings, training, evaluation)
        summary = {"sources": found, "refuted_by_pixels": refuted, "pairs": pairs}
        files.write_json(place.result / "report" / "summary.json", summary)
        run.log_metrics({f"{reason}/{name}": value for name, one in found.items() for reason, value in one.items()})
        kept = {f"{role}/{name}": one for role, catalog in catalogs.items() for name, one in catalog.items()}
        run.log_metrics({f"quarantined/{name}": one["quarantined"] for name, one in kept.items()})
        run.log_metrics({f"bytes/{name}": one["bytes"] for name, one in kept.items()})
        run.log_metrics({f"refuted_by_pixels/{kind}": value for kind, value in refuted.items()})
        run.artifact(place.result / "report", "audit")


def _shown(folder: Path, findings: Findings, training: Collection, evaluation: Collection) -> list[dict[str, Any]]:
    """Write pictures of the first pairs of every reason and return what the report says of them."""
    from depth_model.datasets.audit import EXACT, LEAK, NEAR
    from depth_model.datasets.side_by_side import side_by_side

    shown = []
    for reason in (LEAK, NEAR, EXACT):
        for pair in [pair for pair in findings.pairs if pair.reason == reason][:SHOWN]:
            other = evaluation if reason == LEAK else training
            picture = f"{len(shown):04d}.jpg"
            image = side_by_side(training.image(pair.row), other.image(pair.other))
            files.write_bytes(folder / picture, image)
            shown.append(
                {
                    "reason": reason,
                    "image": _address(training, pair.row),
                    "repeats": _address(other, pair.other),
                    "distance": pair.distance,
                    "likeness": round(pair.likeness, 3),
                    "picture": picture,
                }
            )
    return shown


def _address(collection: Collection, row: int) -> str:
    role, name, _ = collection.place(row)
    return f"{role}/{name}: {collection.key(row)}"


def main() -> None:
    """Write the exclusions of both training roles and the pictures of the pairs."""
    argparse.ArgumentParser(prog="python -m tasks.audit", description=__doc__).parse_args()
    settings = params.load()
    missing = [str(catalog_path(role)) for role in ROLES if not catalog_path(role).exists()]
    if missing:
        raise entry.StageError(f"{', '.join(missing)} is not there; 'dvc repro audit' makes it")
    catalogs = {role: json.loads(catalog_path(role).read_text(encoding="utf-8")) for role in ROLES}
    produce(
        "audit",
        inputs={
            "audit": settings.audit.model_dump(),
            "catalogs": {role: files.sha256(catalog_path(role)) for role in ROLES},
        },
        outs={
            "labeled.parquet": exclusions_path("labeled"),
            "unlabeled.parquet": exclusions_path("unlabeled"),
            "report": REPORT,
        },
        build=lambda place: _build(place, settings, catalogs),
    )
    for source, found in json.loads((REPORT / "summary.json").read_text(encoding="utf-8"))["sources"].items():
        excluded = {reason: number for reason, number in found.items() if reason != "images" and number}
        if excluded:
            print(f"{source}: left out {', '.join(f'{number} {reason}' for reason, number in excluded.items())}")


if __name__ == "__main__":
    entry.run(main)
