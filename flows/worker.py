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

from flows.access import CLIENT, ENV

POOL = "local"
PREFECT = (sys.executable, "-m", "prefect")


def wait_for_server(seconds: float) -> None:
    """Return once the server of Prefect's settings answers and lets us in; end the process with what to do if not."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        sys.exit("error: no Prefect API is set; run this in the folder that holds prefect.toml")
    deadline = time.monotonic() + seconds
    while (fault := _fault(url)) is not None:
        if time.monotonic() >= deadline:
            sys.exit(f"error: {fault}")
        time.sleep(1)
    _knock(url)


def _fault(url: str) -> str | None:
    """Return what is wrong with the server at `url`, None if it is Prefect's and well."""
    import httpx

    try:
        answer = httpx.get(f"{url}/health", timeout=5)
    except httpx.RequestError as error:
        return f"no Prefect server answers at {url} ({error}); start one with: prefect server start"
    if answer.status_code == 200 and answer.text == "true":
        return None
    other = "give Prefect another port in prefect.toml ([api] url and [server.api] port), or stop the other program"
    return f"something else than a healthy Prefect server answers at {url} (status {answer.status_code}); {other}"


def _knock(url: str) -> None:
    """End the process with one line when the server does not take our secret."""
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client.hello()
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 401:
            raise
        sys.exit(
            f"error: the Prefect server at {url} has another secret than {ENV.resolve()}; stop it and start it "
            "in this folder: prefect server start"
        )


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
    wait_for_server(seconds)
    if not pool_exists():
        prefect("work-pool", "create", POOL, "--type", "process")
    prefect("--no-prompt", "deploy", "--all")
    print(f"the browser asks once for a secret: it is {CLIENT} in {ENV.resolve()}", flush=True)
    os.execv(PREFECT[0], [*PREFECT, "worker", "start", "--pool", POOL])


if __name__ == "__main__":
    main()
