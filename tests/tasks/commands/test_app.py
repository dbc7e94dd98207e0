"""`depth-anything app` as a process: what it prints, who it answers, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest

pytestmark = pytest.mark.slow


def test_it_prints_its_address_and_leaves_nothing(repository, tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(repository)}
    command = [sys.executable, "-m", "tasks.commands.main", "app", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:") and len(address.split("/")[3]) == 16
        assert "<!doctype html>" in httpx.get(address, timeout=60).text
        pixels = b"P6 2 1 255 abcdef"
        assert httpx.post(f"{address}api/files?name=a.ppm", content=pixels, timeout=60).json()["width"] == 2
        assert [one.name for folder in tmp_path.glob("depth-anything-*") for one in folder.iterdir()]
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 130
    assert not list(tmp_path.glob("depth-anything-*"))
