"""Fixtures that every test may use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # fault_proxy and midas_folders, which stand beside this file

# Tests start many processes; without compiled modules each spends seconds on compiling its imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

REPOSITORY = Path(__file__).resolve().parent.parent
LONG = (
    "pipeline",
    "test_contributing.py",
    "depth_model/training",
    "tasks/tracking",
    "depth_model/interchange",
    "flows",
)
"""What takes minutes, longest first: begun last, it would keep one core busy when the others have nothing left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; `--no-loadscope-reorder` of `make test` keeps that order."""
    folders = [REPOSITORY / "tests" / name for name in LONG]

    def rank(item: pytest.Item) -> int:
        return next((at for at, one in enumerate(folders) if item.path.is_relative_to(one)), len(folders))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real samples in official formats, when they lie beside the checkout; skips otherwise."""
    folder = REPOSITORY.parent / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip("no folder ../shared/samples beside the checkout")
    return folder


@pytest.fixture(scope="session")
def s3_server():
    """The port of an S3 server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline, "the S3 server does not start"
            time.sleep(0.05)
    yield port
    server.terminate()
    server.wait()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """(boto3 client, name of an empty bucket, proxy that can misbehave); the environment leads to the proxy."""
    import boto3
    from fault_proxy import FaultProxy

    from depth_model.shards import store

    proxy = FaultProxy(s3_server)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_MAX_ATTEMPTS": "3",
    }.items():
        monkeypatch.setenv(name, value)
    for cached in (store._client_of, store._listing):
        cached.cache_clear()
    direct = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_server}")
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    direct.create_bucket(Bucket=name)
    yield direct, name, proxy
    proxy.shutdown()
