"""`depth-anything register`: the models in `models/` into the registry, which a model out of DVC's cache is not in."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from depth_model.errors import UserError
from tasks.commands.shared import purpose
from tasks.settings import params
from tasks.summarise import promoted
from tasks.tracking import mlflow_runs, registry
from tasks.workspace.paths import METRICS


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("register", help="register the models in models/", description=purpose(register))
    one.add_argument("--promote", action="store_true", help="also move 'champion' if reports/metrics.json says so")
    one.set_defaults(run=register)


def _check_figures() -> None:
    """Refuse figures of other models than those in `models/`: DVC knows whether they belong together."""
    command = [sys.executable, "-m", "dvc", "status", "--quiet", "summarise"]
    if not METRICS.exists() or subprocess.run(command, check=False).returncode != 0:
        raise UserError(f"{METRICS} does not belong to what lies in models/; run 'dvc repro' first")


def register(given: argparse.Namespace) -> None:
    """Register the models that lie in models/, and with --promote let their figures decide on the champion."""
    present = sorted(path.parent.relative_to("models").as_posix() for path in Path("models").rglob("model.safetensors"))
    if not present:
        raise UserError("models/ holds no model; run 'dvc repro' or 'dvc pull' first")
    client = mlflow_runs.connect()
    for model in present:
        print(f"{registry.registered_name(model)} version {registry.version_of_folder(client, model).version}")
    if given.promote:
        _check_figures()
        for sentence in promoted(params.load()):
            print(sentence)
