"""What a registered version carries: tags that say what it was made from, and a card for people.

The tags are the facts; the card is written from them and from the figures, so both say the same. Both are of the moment
of registration, but for the figures, which every evaluation writes anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.entry import LOCK

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

CARD = "model_card.md"
MADE_FROM = "made_from"
"""The folder among the artifacts of a run with dvc.lock and params.yaml as they were."""
DESCRIPTION_LENGTH = 5000
"""Limit of MLflow's table; the whole card is an artifact."""
DATA, LICENSE, PARAMETER, FIGURE = "data.", "license.", "parameter.", "figure."
EVALUATION = "evaluation/"
"""Before the figures on a run: evaluation/<set>/<metric>."""


def facts(run: Run, folder: Path) -> dict[str, str]:
    """Return the tags of the version with the model in `folder`, which `run` trained or found."""
    from depth_model.networks.provenance import read_provenance

    origin = read_provenance(folder)
    found = {
        "commit": mlflow_runs.described_commit(),
        "dvc_lock_sha256": files.sha256(LOCK) if LOCK.exists() else "",
        "origin": origin.source or _started_from(run.data.params),
        "license": origin.license if origin.source else "",
    }
    found |= {f"{PARAMETER}{name}": value for name, value in run.data.params.items()}
    for name, entry in _data_sets(run).items():
        found |= {f"{DATA}{name}": mlflow_runs.manifest_digest(entry), f"{LICENSE}{name}": _license_of(name)}
    return {name: value for name, value in found.items() if value}


def _started_from(parameters: Mapping[str, str]) -> str:
    """Return what the parameters of a training call its start; "" for a model of which none are known."""
    own = next((value for name, value in parameters.items() if name.endswith(".initial")), "encoder")
    weights = parameters.get("encoder.weights", "")
    return own if own != "encoder" else f"the encoder weights '{weights}'" if weights else ""


def _data_sets(run: Run) -> dict[str, dict[str, Any]]:
    """Return role/source -> entry of its catalog of everything that a run logged as its input."""
    return {one.dataset.name: json.loads(one.dataset.profile) for one in run.inputs.dataset_inputs}


def _license_of(name: str) -> str:
    """Return the license of the source `name` (role/source), as its reader states it; "" of what is no source."""
    from depth_model import readers

    role, _, source = name.partition("/")
    sources = getattr(params.load().sources, role, {})
    return readers.get(sources[source].reader).license if source in sources else ""


def keep_what_it_was_made_from(client: MlflowClient, run_id: str) -> None:
    """Leave dvc.lock and params.yaml with the run: with the commit they lead back to data, models and figures."""
    for path in (LOCK, Path("params.yaml")):
        if path.exists():
            client.log_artifact(run_id, str(path), MADE_FROM)


def write_figures(client: MlflowClient, version: ModelVersion, figures: Mapping[str, float], evaluated: str) -> None:
    """Leave set -> figure on a version, and the hash of what it was measured on."""
    told = {f"{FIGURE}{name}": repr(float(value)) for name, value in figures.items()} | {"evaluation_hash": evaluated}
    for name, value in told.items():
        if version.tags.get(name) != value:
            client.set_model_version_tag(version.name, version.version, name, value)


def write(client: MlflowClient, name: str, version: str) -> None:
    """Write the card of a version: as its description, cut where MLflow ends, and whole into the run's artifacts."""
    found = client.get_model_version(name, version)
    text = "\n".join(_lines(found, client.get_run(found.run_id))) + "\n"
    if found.description and found.description == _described(text):
        return
    client.log_text(found.run_id, text, CARD)
    client.update_model_version(name, version, _described(text))


def _described(text: str) -> str:
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    ending = f"\n\nThe whole card is `{CARD}` among the artifacts of the run.\n"
    return text[: DESCRIPTION_LENGTH - len(ending)].rpartition("\n")[0] + ending


def _lines(version: ModelVersion, run: Run) -> Iterator[str]:
    tags, name = version.tags, f"models:/{version.name}/{version.version}"
    yield f"# {version.name}, version {version.version}"
    yield f"\nMade by the stage `{run.data.tags['stage']}` at commit {tags.get('commit', 'unknown')}."
    yield f"Weights: SHA-256 `{tags['weights_sha256']}`. Start: {tags.get('origin', 'unknown')}."
    yield "\n## How to load it\n\n```bash"
    yield f"depth-anything predict photo.jpg --model {name} -o out/\n```\n\n```python"
    yield f'mlflow.pyfunc.load_model("{name}").predict(pandas.DataFrame({{"image": [open("photo.jpg", "rb").read()]}}))'
    yield "```\n\n## Figures\n"
    yield from _table("set | metric | value", _figures(run), "not measured yet")
    yield f"\n## Data\n\nLicense of the start: {tags.get('license', 'see its origin')}.\n"
    yield from _table("set | samples | license | SHA-256 of the manifest", _data(tags, run), "none known")
    yield f"\n## Parameters\n\ndvc.lock: SHA-256 `{tags.get('dvc_lock_sha256', 'none')}`; it and params.yaml are in"
    yield f"`{MADE_FROM}` among the artifacts of the run.\n"
    chosen = {key.removeprefix(PARAMETER): value for key, value in tags.items() if key.startswith(PARAMETER)}
    yield from _table("parameter | value", [[f"`{key}`", f"`{chosen[key]}`"] for key in sorted(chosen)], "none known")


def _figures(run: Run) -> list[list[str]]:
    found = {key: value for key, value in run.data.metrics.items() if key.startswith(EVALUATION)}
    return [[*key.removeprefix(EVALUATION).split("/", 1), f"{found[key]:.4f}"] for key in sorted(found)]


def _data(tags: Mapping[str, str], run: Run) -> list[list[str]]:
    return [
        [
            name,
            str(entry.get("samples", "")),
            tags.get(f"{LICENSE}{name}", ""),
            f"`{mlflow_runs.manifest_digest(entry)}`",
        ]
        for name, entry in sorted(_data_sets(run).items())
    ]


def _table(titles: str, rows: list[list[str]], nothing: str) -> Iterator[str]:
    if not rows:
        yield nothing
        return
    yield f"| {titles} |"
    yield f"|{' --- |' * len(rows[0])}"
    yield from (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
