"""Which version of a registered model is the champion: who becomes it, on what evidence, and the way back.

The figures of an evaluation are written onto the version that they are of. The version that was judged last is the
`challenger`; when it wins, it is both. Nothing is deleted: a team's MLflow lets people change what others made, and
delete only their own. Every move of the alias `champion` is a tag of the registered model, `champion.<time>`, with the
version, the one before it, and why; a version that was rolled back does not return by its figures.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import UserError
from depth_model.shown import shown
from tasks.settings import params
from tasks.tracking import mlflow_runs, model_card
from tasks.tracking.registry import WEIGHTS_TAG, Kind, registered_kind, version_of_folder
from tasks.workspace.paths import HELD_OUT, catalog_path, held_out_path, measured_sets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
ROLLED_BACK = "rolled_back"


def evaluation_hash() -> str:
    """Return the hash of what models are measured on: the evaluation catalog, the held-out images and the parameters.

    Figures of two models may be compared only under the same hash.
    """
    catalog, short_side = files.read_json(catalog_path("evaluation")), params.load().evaluation.short_side
    held_out = files.sha256(held_out_path("labeled")) if HELD_OUT in measured_sets() else None
    given = {"catalog": catalog, "evaluation": {"short_side": short_side}}
    return files.sha256_of_json(given | ({"held_out": held_out} if held_out else {}))


@dataclass(frozen=True)
class Evidence:
    """What is known of a model beside its mean: why it must not become champion, "" for nothing, and its AbsRel by
    image (`set/key`), empty where only all images together are measured."""

    refusal: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


def promote(
    evaluation: Mapping[str, Mapping[str, Mapping[str, float]]], evaluation_hash: str, evidence: Mapping[str, Evidence]
) -> list[str]:
    """Judge the models in `models/` by the mean of their metric; return one sentence per model on what became of it.

    `evaluation` is the content of reports/metrics.json: set (and `mean`) -> model -> metric -> value. The figures
    are written onto the training run of each model, those of its metric onto its version, the scores by image of its
    `evidence` beside it. The alias `champion` moves to a version against which its evidence has nothing, and that is
    better than the champion under the same `evaluation_hash`: image by image, with a bootstrap interval without 0, or
    by the mean where there are no scores. Experiments never move it.
    """
    client = mlflow_runs.connect()
    present = [model for model in evaluation["mean"] if (Path("models") / model / "model.safetensors").exists()]
    return [_judge(client, model, evaluation, evaluation_hash, evidence[model]) for model in present]


def _judge(
    client: MlflowClient, model: str, evaluation: Mapping[str, Any], evaluation_hash: str, evidence: Evidence
) -> str:
    version = version_of_folder(client, model)
    for run in _runs_of(client, version.tags[WEIGHTS_TAG]):
        _write_metrics(client, run, model, evaluation, evaluation_hash)
    kind = registered_kind(model)
    score = float(evaluation["mean"][model][kind.metric])
    by_set = {name: models[model][kind.metric] for name, models in evaluation.items() if model in models}
    model_card.write_figures(client, version, by_set, evaluation_hash)
    if evidence.scores:
        client.log_text(version.run_id, json.dumps(dict(evidence.scores)), _scores_file(evaluation_hash))
    client.set_model_version_tag(version.name, version.version, _score_tag(kind, evaluation_hash), repr(score))
    model_card.write(client, version.name, version.version)
    return _move_champion(client, version, kind, score, evaluation_hash, evidence)


def _scores_file(evaluation_hash: str) -> str:
    return f"scores/{evaluation_hash[:16]}.json"


def _score_tag(kind: Kind, evaluation_hash: str) -> str:
    return f"mean_{kind.metric}.{evaluation_hash[:16]}"


def _runs_of(client: MlflowClient, weights: str) -> list[Any]:
    return client.search_runs([mlflow_runs.experiment_id(client)], f"tags.{WEIGHTS_TAG} = '{weights}'")


def _write_metrics(
    client: MlflowClient, run: Any, model: str, evaluation: Mapping[str, Any], evaluation_hash: str
) -> None:
    for name, models in evaluation.items():
        for metric, value in models.get(model, {}).items():
            key = f"{model_card.EVALUATION}{name}/{metric}"
            if run.data.metrics.get(key) != value:
                client.log_metric(run.info.run_id, key, value)
    client.set_tag(run.info.run_id, "evaluation_hash", evaluation_hash)


def _move_champion(
    client: MlflowClient, version: ModelVersion, kind: Kind, score: float, evaluation_hash: str, evidence: Evidence
) -> str:
    this = f"{version.name} version {version.version} (mean {kind.title} {score:.4f})"
    champion = champion_of(client, version.name)
    if champion == str(version.version):
        return f"{this} is the champion" + (f", although {evidence.refusal}" if evidence.refusal else "")
    if os.environ.get("DVC_EXP_NAME"):
        return f"{this} belongs to experiment {os.environ['DVC_EXP_NAME']}: experiments never move the champion"
    client.set_registered_model_alias(version.name, CHALLENGER, version.version)
    better, told = _challenged(client, version, champion, kind, score, evaluation_hash, evidence)
    if not better:
        return f"{this} {told}"
    known = {"evaluation_hash": evaluation_hash, f"mean_{kind.metric}": score, "images": len(evidence.scores)}
    move(client, version.name, str(version.version), champion, told, known)
    return f"{this} is the champion now: {told}"


def _challenged(
    client: MlflowClient,
    version: ModelVersion,
    champion: str | None,
    kind: Kind,
    score: float,
    evaluation_hash: str,
    evidence: Evidence,
) -> tuple[bool, str]:
    """Return whether `version` beats the version `champion`, and why or why not."""
    if evidence.refusal:
        return False, f"does not become the champion: {evidence.refusal}"
    if version.tags.get(ROLLED_BACK):
        again = f"depth-anything rollback {version.name} --to {version.version}"
        return (
            False,
            f"does not become the champion: it was rolled back ({version.tags[ROLLED_BACK]}); '{again}' takes it",
        )
    if champion is None:
        return True, "there was none"
    rival = client.get_model_version(version.name, champion)
    if _score_tag(kind, evaluation_hash) not in rival.tags:
        return False, (
            f"is not compared: version {champion}, the champion, was never measured on these evaluation "
            "sets; to choose this one, set the alias in the MLflow UI"
        )
    its_score = float(rival.tags[_score_tag(kind, evaluation_hash)])
    better, told = _compared(client, rival, kind, score - its_score, evaluation_hash, evidence)
    its = f"version {champion} (mean {kind.title} {its_score:.4f}){told}"
    return better, f"better than {its}" if better else f"is not better than {its}, which stays the champion"


def _compared(
    client: MlflowClient, rival: ModelVersion, kind: Kind, difference: float, evaluation_hash: str, evidence: Evidence
) -> tuple[bool, str]:
    """Return whether a model is better than its `rival`, image by image where scores are known, and in what words."""
    if not evidence.scores:
        return (difference > 0 if kind.higher_is_better else difference < 0), ""
    import mlflow
    import pandas as pd

    from depth_model.evaluation.verdict import BETTER, sentence, verdict

    stored = mlflow.artifacts.load_text(f"runs:/{rival.run_id}/{_scores_file(evaluation_hash)}")
    found = verdict(pd.Series(evidence.scores), pd.Series(json.loads(stored)), minimum=1)
    return found.outcome == BETTER, f", {sentence(found)}"


def champion_of(client: MlflowClient, name: str) -> str | None:
    """Return the version of the registered model `name` that is the champion, None without one."""
    found = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if found is None else str(found)


def move(
    client: MlflowClient, name: str, version: str, before: str | None, why: str, known: Mapping[str, Any] | None = None
) -> None:
    """Make `version` the champion after `before`, and record the move with what is `known` as its evidence."""
    moved = {"version": version, "before": before, "why": why, "by": _who(), **(known or {})}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    client.set_registered_model_tag(name, f"{CHAMPION}.{now}", json.dumps(moved))
    client.set_registered_model_alias(name, CHAMPION, version)


def _who() -> str:
    """Return who moves: the user of the tracking server, or else the author that git names."""
    asked = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    return os.environ.get("MLFLOW_TRACKING_USERNAME") or asked.stdout.strip() or "unknown"


def moves(client: MlflowClient, name: str) -> list[dict[str, Any]]:
    """Return every recorded move of the champion of `name`, the oldest first: version, before, why, by, evidence."""
    tags = client.get_registered_model(name).tags
    return [json.loads(tags[key]) for key in sorted(tags) if key.startswith(f"{CHAMPION}.")]


def held_before(found: Sequence[Mapping[str, Any]], champion: str | None) -> str | None:
    """Return the version that was the champion before `champion`, by the moves `found`; None when none was.

    A way back is no step forward: after 1, 2, 3, back to 2, the one before is 1. An alias that somebody set by hand is
    in no move: before it was the last that is.
    """
    held: list[str] = []
    for one in found:
        held = held[: held.index(one["version"])] if one["version"] in held else held
        held.append(one["version"])
    if champion in held:
        held = held[: held.index(champion)]
    return held[-1] if held else None


def roll_back(name: str, to: str | None, why: str) -> str:
    """Give `champion` of the registered model `name` back to the version that held it before, or to the version `to`.

    The version that held it is tagged and does not return by its figures; returns one sentence. Raises UserError for
    a model or a version that the registry does not have, and when there is nothing to go back to.
    """
    from mlflow.exceptions import MlflowException

    client = mlflow_runs.connect()
    try:
        champion = champion_of(client, name)
        target = to or held_before(moves(client, name), champion)
        if target is None:
            raise UserError(f"{name}: no version was the champion before; name one: --to VERSION")
        version = client.get_model_version(name, target)
    except MlflowException as error:
        raise UserError(
            f"{shown(name)}: {str(error).splitlines()[0].removeprefix('RESOURCE_DOES_NOT_EXIST: ')}"
        ) from error
    if champion == str(version.version):
        raise UserError(f"{name}: version {champion} is the champion already")
    if champion is not None:
        client.set_model_version_tag(name, champion, ROLLED_BACK, f"to version {version.version}: {why}")
    if version.tags.get(ROLLED_BACK):
        client.set_model_version_tag(name, version.version, ROLLED_BACK, "")
    move(client, name, str(version.version), champion, f"rolled back: {why}")
    return f"{name} version {version.version} is the champion again, version {champion or 'none'} no longer: {why}"
