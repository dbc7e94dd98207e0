"""What a page was made from, so that it can be made again: commit, parameters, lock file, weights, versions."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from depth_model import files
from tasks.tracking.mlflow_runs import git_commit
from tasks.tracking.registry import REQUIREMENTS
from tasks.workspace.paths import MODELS

LOCK = Path("dvc.lock")


def lock_entries(without: str) -> dict[str, Any]:
    """Return the stages of dvc.lock by address but for one; none where there is no such file."""
    if not LOCK.exists():
        return {}
    content = yaml.load(LOCK.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    return {name: one for name, one in (content.get("stages") or {}).items() if name != without}


def origin(lock: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (what, value): commit, hashes of params.yaml, of the entries of dvc.lock and of the weights, versions."""
    yield "commit", _commit() or "not in a repository"
    yield "params.yaml, SHA-256", files.sha256(Path("params.yaml"))
    yield "dvc.lock without this page, SHA-256", files.sha256_of_json(dict(lock)) if lock else "none"
    for model in MODELS:
        weights = Path("models", model, "model.safetensors")
        if weights.exists():
            yield f"weights of the {model}, SHA-256", files.sha256(weights)
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield from ((name, version(name)) for name in (*REQUIREMENTS, "dvc", "prefect"))


def _commit() -> str:
    commit = git_commit()
    changed = ["git", "status", "--porcelain", "--untracked-files=no"]
    if commit and subprocess.run(changed, capture_output=True, check=False).stdout:
        return f"{commit}, with changes that are not committed"
    return commit
