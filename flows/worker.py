"""One command that makes `prefect deployment run full-pipeline` work: work pool, deployment, worker.

Run it from the root of the project (`make worker`) with a Prefect server up. It ends with the worker it starts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

POOL = "local"
PREFECT = (sys.executable, "-m", "prefect")


def wait_for_server(seconds: float) -> None:
    """Return once the server of Prefect's settings answers; end the process with what to do if it does not."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        sys.exit("error: no Prefect API is set; run this in the folder that holds prefect.toml")
    deadline = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while (fault := client.api_healthcheck()) is not None:
            if time.monotonic() >= deadline:
                sys.exit(f"error: no Prefect server answers at {url} ({fault}); start one with: prefect server start")
            time.sleep(1)


def prefect(*arguments: str) -> None:
    """Run one command of Prefect; end the process with its code if it fails."""
    code = subprocess.run([*PREFECT, *arguments], check=False).returncode
    if code != 0:
        sys.exit(code)


def pool_exists() -> bool:
    """Return whether the server knows the work pool."""
    command = [*PREFECT, "work-pool", "inspect", POOL]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Create the work pool if it is absent, register the deployments of prefect.yaml, become a worker."""
    parser = argparse.ArgumentParser(description="Register the deployment full-pipeline and work for it.")
    parser.add_argument("--wait", type=float, default=30, help="seconds to wait for the server (default 30)")
    seconds = parser.parse_args().wait
    if not Path("prefect.yaml").exists():
        sys.exit("error: prefect.yaml is not in this folder; run this from the root of the project")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    wait_for_server(seconds)
    if not pool_exists():
        prefect("work-pool", "create", POOL, "--type", "process")
    prefect("--no-prompt", "deploy", "--all")
    os.execv(PREFECT[0], [*PREFECT, "worker", "start", "--pool", POOL])


if __name__ == "__main__":
    main()
