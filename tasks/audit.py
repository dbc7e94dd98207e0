"""Stage `audit`: training images that an evaluation set holds too, or that stand twice, are listed to be left out.

Writes `data/exclusions/<role>.parquet`, of which the bytes change only when the list does, so that another
evaluation set retrains nothing unless a leak is found; in `data/exclusions/held_out/` what is held out for validation;
and `reports/audit/`: counts, and pictures of the pairs.
Images for fine-tuning that the fine-tuned models are measured on are shown too, but not left out: such sets have
official splits, and results are compared on these.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import UserError
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.paths import AUDIT_REPORT, AUDITED, HELD_OUT_FOLDER, catalog_path, exclusions_path, held_out_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.audit.findings import Collection, Findings

ROLES = (*AUDITED, "evaluation")
FINETUNING = ("metric", "semantic")
FINETUNING_LEAK, TRAINED_ON = "finetuning_leak", "trained_on"
SHOWN = 24
"""Pairs of each reason that are shown with their pictures."""


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write the exclusions of both training roles, and the pictures of the pairs."""
    from depth_model.audit.findings import EVALUATION, TRAINING, Collection, audit, between, counts, exclusions
    from depth_model.shards import manifest
    from depth_model.shards.pool import HELD_OUT

    catalogs = {role: files.read_json(catalog_path(role)) for role in ROLES}
    data, report = Path("data"), workplace.out(AUDIT_REPORT)
    training, evaluation = Collection(data, catalogs, TRAINING), Collection(data, catalogs, EVALUATION)
    with mlflow_runs.stage_run(workplace) as run:
        findings = audit(training, evaluation, settings.audit)
        for role in AUDITED:
            table = exclusions(findings, training, evaluation, role)
            manifest.write_table(workplace.out(exclusions_path(role)), [table], table.schema, {})
        found = counts(findings, training)
        refuted = {"leaks": findings.refuted_leaks, "duplicates": findings.refuted_duplicates}
        pairs = _shown(report, findings, training, evaluation)
        finetuning, repeated = {}, between(findings, training, evaluation)
        for role in FINETUNING:
            counted, repeats, more = _finetuning(report, role, settings, len(pairs))
            repeats += _trained_on(role, settings, training)
            finetuning, repeated, pairs = finetuning | counted, repeated + repeats, pairs + more
        held = _hold_out(workplace, settings, training, findings)
        summary = {"sources": found, "refuted_by_pixels": refuted, "finetuning": finetuning, "pairs": pairs}
        summary |= {"held_out": held, "between": repeated, "both": learned_and_measured(settings)}
        files.write_json(report / "summary.json", summary)
        run.log_metrics({f"{reason}/{name}": value for name, one in found.items() for reason, value in one.items()})
        kept = {f"{role}/{name}": one for role, catalog in catalogs.items() for name, one in catalog.items()}
        run.log_metrics({f"quarantined/{name}": one["quarantined"] for name, one in kept.items()})
        run.log_metrics({f"bytes/{name}": one["bytes"] for name, one in kept.items()})
        run.log_metrics({f"refuted_by_pixels/{kind}": value for kind, value in refuted.items()})
        run.log_metrics({f"{HELD_OUT}/{name}": one[HELD_OUT] for name, one in held.items()})
        run.log_metrics({f"{FINETUNING_LEAK}/{name}": one["leak"] for name, one in finetuning.items()})
        run.artifact(report, "audit")


def finetuning_sources(role: str, settings: params.Params) -> tuple[list[str], list[str]]:
    """Return (sources of `role` that are fine-tuned on, sources that the models are measured on).

    A source that params.yaml names for both counts as measured on only: each of its images would be found, and
    `learned_and_measured` names it.
    """
    learned, measured = _used(role, settings)
    named = getattr(settings.sources, role)
    return [name for name in named if name in learned - measured], [name for name in named if name in measured]


def learned_and_measured(settings: params.Params) -> list[str]:
    """Return the sources (`<role>/<name>`) that a model is fine-tuned on and measured on."""
    return [f"{role}/{name}" for role in FINETUNING for name in sorted(set.intersection(*_used(role, settings)))]


def _used(role: str, settings: params.Params) -> tuple[set[str], set[str]]:
    learned, measured = (getattr(settings, f"{use}_{role}").values() for use in ("finetune", "evaluate"))
    return {one.source for one in learned}, {one.source for one in measured}


def _finetuning(
    folder: Path, role: str, settings: params.Params, number: int
) -> tuple[dict[str, dict[str, int]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return how many images of each source for fine-tuning are measured on too, in which other source, and the first
    pairs, with pictures from `number` on."""
    from depth_model.audit.findings import Findings, between, counts, find_leaks

    learned, measured = finetuning_sources(role, settings)
    if not learned or not measured:
        return {}, [], []
    _check_listed(role, {*learned, *measured})
    training, evaluation = (_sources_of(role, names) for names in (learned, measured))
    leaks, refuted = find_leaks(training, evaluation, settings.audit)
    findings = Findings(sorted(leaks, key=lambda pair: pair.row), refuted, 0)
    shown = _shown(folder, findings, training, evaluation, number, FINETUNING_LEAK)
    found = counts(findings, training)
    repeated = [one | {"reason": FINETUNING_LEAK} for one in between(findings, training, evaluation)]
    return {name: {"images": one["images"], "leak": one["leak"]} for name, one in found.items()}, repeated, shown


def _trained_on(role: str, settings: params.Params, training: Collection) -> list[dict[str, Any]]:
    """Return which files of `training` the fine-tuned models of `role` are measured on, as `between` has it."""
    from depth_model.audit.findings import Findings, between, identical

    measured = finetuning_sources(role, settings)[1]
    if not measured:
        return []
    _check_listed(role, set(measured))
    evaluation = _sources_of(role, measured)
    found = Findings(list(identical(training, evaluation)), 0, 0)
    return [one | {"reason": TRAINED_ON} for one in between(found, training, evaluation)]


def _check_listed(role: str, names: set[str]) -> None:
    if missing := sorted(names - set(files.read_json(catalog_path(role)))):
        raise UserError(f"{catalog_path(role)}: lacks {', '.join(missing)}; 'dvc repro validate@{role}' adds it")


def _sources_of(role: str, names: Sequence[str]) -> Collection:
    from depth_model.audit.findings import Collection

    catalog = files.read_json(catalog_path(role))
    return Collection(Path("data"), {role: {name: catalog[name] for name in names}}, (role,))


def _hold_out(
    workplace: Workplace, settings: params.Params, training: Collection, findings: Findings
) -> dict[str, dict[str, int]]:
    """Write what is held out of every role, and return how many images of each source, by reason."""
    import numpy as np
    import pyarrow as pa

    from depth_model.audit.held_out import HELD_OUT_SCHEMA, Choice, counts, held_out
    from depth_model.shards import manifest

    wanted, distance = settings.validation, settings.audit.duplicate_distance
    excluded = np.zeros(len(training), bool)
    excluded[[pair.row for pair in findings.pairs]] = True
    choice = Choice(wanted.fraction, wanted.seed)
    tables = {"labeled": [held_out(training, "labeled", replace(choice, whole=wanted.sources), excluded, distance)]}
    for role in FINETUNING:
        names = sorted({one.source for one in getattr(settings, f"finetune_{role}").values()})
        _check_listed(role, set(names))
        alone = [_sources_of(role, [name]) for name in names]  # a training learns from one of them
        tables[role] = [held_out(one, role, choice, np.zeros(len(one), bool), distance) for one in alone]
    folder = workplace.out(HELD_OUT_FOLDER)
    for role, parts in tables.items():
        manifest.write_table(folder / held_out_path(role).name, parts, HELD_OUT_SCHEMA, {})
    whole = {role: pa.concat_tables([HELD_OUT_SCHEMA.empty_table(), *parts]) for role, parts in tables.items()}
    return {name: one for role, table in whole.items() for name, one in counts(table, role).items()}


def _shown(
    folder: Path,
    findings: Findings,
    training: Collection,
    evaluation: Collection,
    number: int = 0,
    leaks_as: str = "leak",
) -> list[dict[str, Any]]:
    """Write pictures of the first pairs of every reason, from `number` on, and return what the report says of them."""
    from depth_model.audit.findings import EXACT, LEAK, NEAR
    from depth_model.audit.side_by_side import side_by_side

    shown = []
    for reason in (LEAK, NEAR, EXACT):
        for pair in [pair for pair in findings.pairs if pair.reason == reason][:SHOWN]:
            other = evaluation if reason == LEAK else training
            picture = f"{number + len(shown):04d}.jpg"
            image = side_by_side(training.image(pair.row), other.image(pair.other))
            files.write_bytes(folder / picture, image)
            shown.append(
                {
                    "reason": leaks_as if reason == LEAK else reason,
                    "image": _address(training, pair.row),
                    "repeats": _address(other, pair.other),
                    "distance": pair.distance,
                    "correlation": round(pair.correlation, 3),
                    "picture": picture,
                }
            )
    return shown


def _address(collection: Collection, row: int) -> str:
    role, name, _ = collection.place(row)
    return f"{role}/{name}: {collection.key(row)}"


def conclude(key: str, settings: params.Params) -> None:
    """Say what is left out and why, and warn of images for fine-tuning that are measured on."""
    summary = files.read_json(AUDIT_REPORT / "summary.json")
    for source in summary["both"]:
        told = "a model learns from it and is measured on it, so that none becomes champion by it"
        print(f"warning: {named_source(source, settings)}: {told}", file=sys.stderr)
    for source, found in summary["held_out"].items():
        alike = f"; {found['near_duplicate']} more look like one of the others" if found["near_duplicate"] else ""
        print(f"{source}: held out {found['held_out']} for validation{alike}")
    for one in summary["between"]:
        source, other = (named_source(one[end], settings) for end in ("source", "other"))
        kept = one["reason"] in (FINETUNING_LEAK, TRAINED_ON)
        told = f"{source}: {TOLD[one['reason']].format(images=one['images'], other=other)}"
        print(f"warning: {told}" if kept else told, file=sys.stderr if kept else sys.stdout)


TOLD = {
    "leak": "left out {images}, which show the pictures of {other}",
    "near_duplicate": "left out {images}, which repeat pictures of {other}",
    "exact_duplicate": "left out {images}, which are the same files as in {other}",
    FINETUNING_LEAK: "{images} of its images are measured on too, in {other}; the report shows them",
    TRAINED_ON: "teacher or student learn from {images} of its images, on which the models of {other} are measured",
}


def named_source(source: str, settings: params.Params) -> str:
    """Return `<role>/<name>` with the folder that it was read from, where it has one."""
    role, _, name = source.partition("/")
    root = getattr(getattr(settings.sources, role).get(name), "root", None)
    return f"{source} ({root})" if root else source
