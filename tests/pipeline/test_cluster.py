"""Two nodes on this machine that share no disk, one of them lost in every phase: the same command has the same bytes.

Each node sees the other's project folder as an empty one (a mount namespace of its own). All of this is slow.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress

import pytest

from tasks.workspace import preloaded
from tests.pipeline.kill_matrix import digests
from tests.processes import wait_for
from tests.services.team import free_ports

pytestmark = pytest.mark.slow
HIDE = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
MOVE = 'mkdir -p "$1" && mount --bind "$0" "$1" && shift && exec "$@"'


def apart(script, *arguments):
    """The command that runs `script` with arguments in a mount namespace of its own; skips without the right."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no right to unshare mounts")
    return ["unshare", "--mount", "sh", "-c", script, *map(str, arguments)]


def end(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def ray_nodes(project, tmp_path):
    """The environment of a stage on a Ray cluster of two nodes, and the second one, which does not see `.work`."""
    (port,) = free_ports(1)
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex, "RAY_USAGE_STATS_ENABLED": "0"}
    environment = project.environment | secret | {"PYTHONPATH": str(project.folder), preloaded.SOCKET: ""}
    ray = [shutil.which("ray", path=environment["PATH"]), "start", "--block", "--disable-usage-stats", "--num-cpus=1"]
    ray += ["--object-store-memory=80000000"]
    head = [*ray, "--head", f"--port={port}", "--include-dashboard=false"]
    (project.folder / ".work").mkdir(exist_ok=True)
    joining = apart(HIDE, project.folder / ".work", *ray, f"--address=127.0.0.1:{port}")
    logs = [open(tmp_path / name, "w") for name in ("head.log", "joined.log")]
    options = {"cwd": project.folder, "env": environment, "stderr": subprocess.STDOUT, "start_new_session": True}
    nodes = []
    try:
        for command, log in zip((head, joining), logs):
            nodes.append(subprocess.Popen(command, stdout=log, **options))
            wait_for(lambda log=log: "Ray runtime started" in open(log.name).read(), 200, 0.5)
        yield environment | {"RAY_ADDRESS": f"127.0.0.1:{port}"}, nodes[1]
    finally:
        for node in nodes:
            end(node)


@pytest.mark.parametrize("stage", ["collect_unlabeled@hills", "pseudo_label@hills"])
def test_a_lost_node_of_ray_costs_its_shard(project, ray_nodes, stage):
    out = project.folder / {"collect_unlabeled@hills": "data/unlabeled/hills"}.get(stage, "data/pseudo/hills")
    before, work = digests(out), project.folder / ".work" / stage.replace("@", "-")
    params = project.folder / "params.yaml"
    content = params.read_text()
    params.write_text(content.replace("engine: local", "engine: ray").replace("workers: 1, ", "workers: 2, "))
    try:
        for lost in (False, True):
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(out)
            command = [sys.executable, "-m", "tasks", stage]
            process = subprocess.Popen(command, cwd=project.folder, env=ray_nodes[0], stderr=subprocess.PIPE, text=True)
            if lost:
                wait_for(lambda: any(work.glob("*/scratch/.*")), 200)
                end(ray_nodes[1])
            said = process.communicate(timeout=400)[1]
            assert process.returncode == 0, said
            assert digests(out) == before
    finally:
        params.write_text(content)


class Nodes:
    """Two nodes of a training, each with a disk and the project at the same path, and what they share: git, a store."""

    def __init__(self, project, folder, store):
        self.folder, self.store, self.project = folder, store, project
        self.origin, self.place = folder / "origin.git", folder / "node"
        project.run("git", "clone", "-q", "--bare", ".", str(self.origin))

    def start(self, number, port):
        """Start a node by services/node.sh."""
        disk = self.folder / f"disk-{number}"
        disk.mkdir(exist_ok=True)
        given = {"PROJECT": str(self.origin), "FOLDER": str(self.place / "project"), "NODES": "2", "NODE": str(number)}
        given |= {"FIRST": "127.0.0.1", "PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"} | self.store
        given |= {"DVC_SITE_CACHE_DIR": str(self.place / "site"), preloaded.SOCKET: ""}
        script = self.project.folder / "services" / "node.sh"
        command = apart(MOVE, disk, self.place, "bash", script, "train", "train_teacher")
        log = open(self.folder / f"node-{number}.log", "w")
        return subprocess.Popen(
            command, env=self.project.environment | given, stdout=log, stderr=log, start_new_session=True
        )

    def said(self):
        return "\n".join((self.folder / f"node-{number}.log").read_text() for number in (0, 1))

    def run(self, lost=None, when=None):
        """Train; once `when(self)` holds the node `lost` is killed, and the other when it does not end by itself."""
        (port,) = free_ports(1)
        both = [self.start(number, port) for number in (0, 1)]
        if when is not None:
            wait_for(lambda: when(self) or all(one.poll() is not None for one in both), 400, 0.05)
            end(both[lost])
            with suppress(subprocess.TimeoutExpired):  # it waits for the lost one: a scheduler would end it
                both[1 - lost].wait(30)
            end(both[1 - lost])
            return
        for one in both:
            assert one.wait(400) == 0, self.said()

    def weights(self):
        """What node 0 has made."""
        return digests(self.folder / "disk-0" / "project" / "models" / "teacher")


PHASES = {
    "fetching": lambda nodes: (nodes.folder / "disk-1" / "project" / ".git").exists(),
    "training": lambda nodes: any(nodes.folder.glob("disk-0/project/.work/*/*/scratch/checkpoint-*.sha256")),
    "publishing": lambda nodes: any(nodes.folder.glob("disk-0/project/.work/train_teacher/*/done.json")),
}


def test_a_node_lost_in_any_phase_costs_the_steps_since_the_last_checkpoint(project, tmp_path, s3_server):
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    store = keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_server}"}
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=store["AWS_ENDPOINT_URL"], aws_access_key_id="test", aws_secret_access_key="test",
                 region_name="us-east-1").create_bucket(Bucket=name)  # fmt: skip
    project.run("dvc", "remote", "add", "-f", "-d", "team", f"s3://{name}")
    project.environment |= store
    project.run("dvc", "push")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "--allow-empty", "-m", "Run")
    nodes = Nodes(project, tmp_path, store)
    nodes.run()
    whole = nodes.weights()
    for number, (phase, when) in enumerate(PHASES.items()):
        for disk in tmp_path.glob("disk-*"):
            shutil.rmtree(disk / "project")
        begun = time.monotonic()
        nodes.run(number % 2, when)
        nodes.run()
        print(phase, f"{time.monotonic() - begun:.0f} s")
        assert nodes.weights() == whole, phase
        assert "Traceback" not in nodes.said()
