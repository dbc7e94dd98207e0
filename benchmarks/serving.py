"""How fast a served model answers, and whether its memory stays flat: python benchmarks/serving.py

Starts `depth-anything serve` on this machine with an untrained network out of a registry of its own, sends images of
one size from several clients at once over loopback, and prints requests a second, the median and the 99th percentile of
the time to an answer, and the memory of the server along the way. Ends after `--requests` or `--seconds`, whichever is
first. Every `--hostile` th request is one that must be refused; a wrong status of any answer ends the run.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from depth_model.networks import DepthAnything
from tasks.settings import presets
from tasks.tracking import mlflow_runs, registry

HOSTILE = (
    b"{",
    b"[]",
    b'{"dataframe_records": [{"image": "<svg>"}]}',
    b'{"dataframe_records": [{"image": "AAAA"}]}',
    b'{"pictures": 1}',
)
HEADERS = {"Content-Type": "application/json"}
READINGS = 10
"""Of the server's memory, over the whole run."""


def registered(folder: Path, size: str) -> None:
    """Leave in `folder` a project whose registry holds an untrained student of `size`."""
    repository = Path(__file__).resolve().parents[1]
    (folder / "params.yaml").write_text(yaml.safe_dump(presets.content(repository / "presets" / "demo.yaml")))
    DepthAnything(size, weights="none", seed=0).save(folder / "models" / "student")
    os.environ |= {"DVC_ROOT": str(folder), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    os.chdir(folder)
    registry.version_of_folder(mlflow_runs.connect(), "student")


def body(height: int, width: int, short_side: int) -> bytes:
    """Return a request with one JPEG of random smooth color."""
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(picture, "JPEG")
    image = base64.b64encode(picture.getvalue()).decode()
    return json.dumps({"dataframe_records": [{"image": image}], "params": {"short_side": short_side}}).encode()


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Load:
    """What the clients share: how many requests are left, until when, and what they found."""

    def __init__(self, port: int, given: argparse.Namespace) -> None:
        self.port, self.given, self.lock = port, given, threading.Lock()
        self.sent, self.seconds, self.refused, self.fault = 0, [], 0, ""
        self.good = body(given.height, given.width, given.short_side)
        self.end = time.monotonic() + given.seconds

    def next(self) -> int | None:
        """Return the number of the next request, None when the run is over."""
        with self.lock:
            if self.fault or self.sent >= self.given.requests or time.monotonic() >= self.end:
                return None
            self.sent += 1
            return self.sent

    def client(self) -> None:
        """Send requests, one after the other over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        while (number := self.next()) is not None:
            hostile = self.given.hostile and number % self.given.hostile == 0
            begun = time.monotonic()
            sent = HOSTILE[number // self.given.hostile % len(HOSTILE)] if hostile else self.good
            connection.request("POST", "/invocations", sent, HEADERS)
            answer = connection.getresponse()
            content = answer.read()
            with self.lock:
                if answer.status != (400 if hostile else 200):
                    self.fault = f"request {number}: status {answer.status}: {content[:200]!r}"
                elif hostile:
                    self.refused += 1
                else:
                    self.seconds.append(time.monotonic() - begun)


def run(load: Load, pid: int) -> list[tuple[int, int]]:
    """Let the clients work; return (requests sent, resident bytes) along the way."""
    clients = [threading.Thread(target=load.client) for _ in range(load.given.clients)]
    for one in clients:
        one.start()
    readings, every = [(load.sent, resident(pid))], max(load.given.requests // READINGS, 1)
    while any(one.is_alive() for one in clients):
        time.sleep(0.05)
        if load.sent >= readings[-1][0] + every:
            readings.append((load.sent, resident(pid)))
    return [*readings, (load.sent, resident(pid))]


def report(load: Load, took: float, readings: list[tuple[int, int]]) -> None:
    """Print what was measured."""
    if load.fault:
        sys.exit(f"error: {load.fault}")
    found = 1000 * np.array(load.seconds)
    median, high, longest = np.percentile(found, 50), np.percentile(found, 99), found.max()
    print(
        f"{load.sent} requests from {load.given.clients} clients in {took:.1f} s, {load.refused} refused as they must"
    )
    print(f"{load.sent / took:.1f} requests/s; median {median:.0f} ms, 99 % {high:.0f} ms, longest {longest:.0f} ms")
    print("memory of the server after so many requests, MB:")
    print(", ".join(f"{sent}: {size / 1e6:.0f}" for sent, size in readings))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="tiny", help="of the network (default: tiny)")
    parser.add_argument("--short-side", type=int, default=56)
    parser.add_argument("--height", type=int, default=120)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--hostile", type=int, default=10, help="every so many requests one that is refused; 0: none")
    given = parser.parse_args()
    command = [sys.executable, "-m", "tasks.commands.main", "serve", "--port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        registered(Path(folder), given.size)
        model = f"models:/{registry.registered_name('student')}/1"
        server = subprocess.Popen([*command, "--model", model], stdout=subprocess.PIPE, text=True)
        try:
            port = int(server.stdout.readline().split(":")[2].partition("/")[0])
            load, begun = Load(port, given), time.monotonic()
            readings = run(load, server.pid)
            report(load, time.monotonic() - begun, readings)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
