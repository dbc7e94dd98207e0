"""What a page was made from, so that it can be made again: commit, parameters, lock file, weights, versions."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from depth_model import files
from tasks.tracking.mlflow_runs import described_commit
from tasks.tracking.registry import REQUIREMENTS
from tasks.workspace.paths import MODELS


def origin(lock: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (what, value): commit, hashes of params.yaml, of the entries of dvc.lock and of the weights, versions."""
    yield "commit", described_commit() or "not in a repository"
    yield "params.yaml, SHA-256", files.sha256(Path("params.yaml"))
    yield "dvc.lock without this page, SHA-256", files.sha256_of_json(dict(lock)) if lock else "none"
    for model in MODELS:
        weights = Path("models", model, "model.safetensors")
        if weights.exists():
            yield f"weights of the {model}, SHA-256", files.sha256(weights)
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield from ((name, version(name)) for name in (*REQUIREMENTS, "dvc", "prefect"))
