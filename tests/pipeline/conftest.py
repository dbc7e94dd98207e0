"""A project of its own: a copy of the tracked files with the tiny world, under git and DVC."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.workspace import preloaded
from tests import canaries

TINY = Path(__file__).with_name("tiny.yaml")


class Project:
    """A checkout in a temporary folder and the commands a user gives in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scripts = str(Path(sys.executable).parent)
        self.environment = os.environ | {
            "PATH": scripts + os.pathsep + os.environ["PATH"],
            "DO_NOT_TRACK": "true",
            "OMP_NUM_THREADS": "1",
            "GIT_CONFIG_GLOBAL": str(folder / ".gitconfig-test"),
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@localhost",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@localhost",
            **canaries.ENVIRONMENT,
        }
        for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "PYTHONPATH"):
            self.environment.pop(name, None)

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, fails: bool = False) -> str:
        process = self.start(*command)
        output, _ = process.communicate(timeout=1800)
        assert (process.returncode != 0) == fails, f"{process.returncode}: {output}"
        return output

    def ran(self, output: str) -> list[str]:
        """The stages that DVC ran, in order, out of its output or that of `depth-anything repro`."""
        found = re.findall(r"^Running stage '(.+)'|^stage \d+ of \d+: (\S+) \(\d+:\d", output, re.MULTILINE)
        return [bare or ours for bare, ours in found]

    def weights(self, model: str) -> bytes:
        return (self.folder / "models" / model / "model.safetensors").read_bytes()


def make_project(folder: Path, repository: Path) -> Project:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (repository / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, folder / name)
    shutil.copy2(TINY, folder / "params.yaml")
    project = Project(folder)
    remote = ["remote", "add", "origin", canaries.REMOTE]
    for command in (["init", "-q", "-b", "main"], remote, ["add", "-A"], ["commit", "-q", "-m", "Start"]):
        project.run("git", *command)
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory, repository) -> Iterator[Project]:
    """The tiny project after one undisturbed run; tests go on from each other's state in file order.

    Their stages are copies of a preloaded process, as those of the first run are.
    """
    project = make_project(tmp_path_factory.mktemp("project"), repository)
    project.first_output = project.run("depth-anything", "repro")
    with preloaded.offered():
        project.environment[preloaded.SOCKET] = os.environ.pop(preloaded.SOCKET)
        yield project


@pytest.fixture
def fresh_project(tmp_path, repository) -> Project:
    """The tiny project in which nothing ran yet."""
    return make_project(tmp_path, repository)


@pytest.fixture
def ran_project(project, tmp_path) -> Project:
    """A copy of the tiny project after its first run, that no other test goes on from."""
    shutil.copytree(project.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
