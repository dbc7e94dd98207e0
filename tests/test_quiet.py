"""Nothing that the documents tell people to run looks up a name: each runs where its look-ups are seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from depth_model.quiet import OPT_OUTS

pytestmark = [pytest.mark.slow, pytest.mark.hostile]

WATCHED = """
import fcntl, os, socket, struct, subprocess, sys, threading, time
loop = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(loop, 0x8914, struct.pack("16sh14s", b"lo", 1 | 64, b""))  # SIOCSIFFLAGS: up and running
loop.bind(("127.0.0.1", 53))
log, seconds, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]

def listen():
    while True:
        asked, who = loop.recvfrom(512)
        labels, place = [], 12
        while asked[place]:
            labels.append(asked[place + 1 : place + 1 + asked[place]].decode("latin-1"))
            place += 1 + asked[place]
        with open(log, "a") as file:
            file.write(".".join(labels) + "\\n")
        loop.sendto(asked[:2] + b"\\x81\\x83" + asked[4:6] + bytes(6) + asked[12:], who)  # no such name

threading.Thread(target=listen, daemon=True).start()
process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
try:
    process.wait(seconds)
except subprocess.TimeoutExpired:
    process.terminate()
    process.wait()
time.sleep(3)  # what reports in the background does so after the end
"""
LIBRARIES = "import depth_model, {0}; import time; time.sleep(2)"
CANARY = "import socket\ntry: socket.gethostbyname('canary.example')\nexcept OSError: pass"
COMMANDS = {
    "a look-up, to see that it is seen": ["-c", CANARY],
    "depth-anything plan": ["-m", "tasks.commands.main", "plan", "--preset", "demo"],
    "depth-anything runs": ["-m", "tasks.commands.main", "runs", "--port", "5123"],
    "depth-anything app": ["-m", "tasks.commands.main", "app", "--port", "5124"],
    "dvc status": ["-m", "dvc", "status", "-q"],
    "prefect version": ["-m", "prefect", "version"],
    "prefect server start": ["-m", "prefect", "server", "start", "--port", "4299"],
    "openvino": ["-c", LIBRARIES.format("openvino")],
    "transformers": ["-c", LIBRARIES.format("transformers")],
    "great expectations": ["-c", LIBRARIES.format("great_expectations")],
}


def may_unshare():
    tried = ["unshare", "-n", "-m", "true"]
    return bool(shutil.which("unshare")) and not subprocess.run(tried, capture_output=True, check=False).returncode


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_looked_up(name, repository, tmp_path):
    if not may_unshare():
        pytest.skip("network namespaces are not permitted here")
    (tmp_path / "watched.py").write_text(WATCHED)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
    log = tmp_path / "asked"
    log.touch()
    hidden = (*OPT_OUTS, "CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(repository)}
    script = 'mount --bind "$1/resolv.conf" /etc/resolv.conf && shift && exec "$@"'
    watched = [sys.executable, str(tmp_path / "watched.py"), str(log), "60", sys.executable, *COMMANDS[name]]
    subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", script, "sh", str(tmp_path), *watched],
        cwd=repository, env=environment, check=True, timeout=300,
    )  # fmt: skip
    asked = set(log.read_text().split())
    assert asked == ({"canary.example"} if name.startswith("a look-up") else set())
