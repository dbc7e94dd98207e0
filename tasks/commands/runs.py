"""`depth-anything runs`: MLflow's pages of runs, models and comparisons, for this machine only."""

from __future__ import annotations

import argparse
import os
import sys

from depth_model.errors import UserError
from tasks.commands.shared import HOST, listening, purpose
from tasks.tracking import mlflow_runs, views


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("runs", help="runs, curves and models in the browser", description=purpose(run))
    one.add_argument("--port", type=int, default=5000, help="of the pages (default: 5000)")
    one.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Show the project's runs, curves and model registry in the browser: MLflow's own pages, answering to this machine
    and its own pages alone, without telemetry. Ends with Ctrl-C.

    Raises BadInput when something else listens at the port, UserError where a tracking server keeps the runs.
    """
    if (uri := mlflow_runs.tracking_uri()).startswith("http"):
        mlflow_runs.check_answers(uri)
        raise UserError(f"MLFLOW_TRACKING_URI: the server at {uri} keeps the runs and shows them: open that address")
    listening(given.port).close()
    where = views.students(mlflow_runs.connect())
    print(f"students, alpha beside AbsRel: http://{HOST}:{given.port}{where}", flush=True)
    os.execv(sys.executable, command(given.port))


def command(port: int) -> list[str]:
    """Return the command that serves MLflow's pages at `port` of this machine."""
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    origins = ",".join(f"http://{host}" for host in hosts)
    where = ["--backend-store-uri", mlflow_runs.tracking_uri(), "--host", HOST, "--port", str(port)]
    allowed = ["--allowed-hosts", ",".join(hosts), "--cors-allowed-origins", origins]
    return [sys.executable, "-m", "mlflow", "ui", *where, *allowed]
