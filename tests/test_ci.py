"""What continuous integration would do, as far as a machine without it can tell: the files' form and their commands."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from depth_model.errors import UserError
from experiments import before_and_after


@pytest.fixture
def github(repository):
    return yaml.load((repository / ".github/workflows/model.yml").read_text(), yaml.BaseLoader)  # `on` is no boolean


@pytest.fixture
def gitlab(repository):
    return yaml.safe_load((repository / ".gitlab-ci.yml").read_text())


def scripts(github, gitlab):
    """Yield every line of shell of both."""
    for job in github["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)
    for job in gitlab.values():
        if isinstance(job, dict) and "stage" in job:
            yield from job["script"]


def test_each_command_is_one_of_the_makefile_or_passes_shell(repository, github, gitlab):
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    found = list(scripts(github, gitlab))
    called = {word for line in found for word in re.findall(r"^make ([a-z-]+)", line)}
    assert {"test", "setup", "compare"} == called <= targets
    for line in found:
        subprocess.run(["bash", "-n", "-c", line], check=True)


def test_both_compare_with_where_the_change_began(github, gitlab):
    compare = next(step for step in github["jobs"]["compare"]["steps"] if "compare" in step.get("run", ""))
    assert compare["env"]["BASE"] == "${{ github.event.pull_request.base.sha }}"
    assert github["jobs"]["compare"]["steps"][0]["with"]["fetch-depth"] == "0"
    assert gitlab["variables"].keys() == {"TORCH_INDEX"}
    assert gitlab["compare"]["variables"]["GIT_DEPTH"] == "0"
    assert any("CI_MERGE_REQUEST_DIFF_BASE_SHA" in line for line in gitlab["compare"]["script"])


def test_a_job_that_runs_what_others_wrote_may_write_nothing(github):
    assert github["on"].keys() == {"pull_request"}  # pull_request_target would hand over the secrets
    assert github["permissions"] == {"contents": "read"}
    may_write = {name for name, job in github["jobs"].items() if "permissions" in job}
    assert may_write == {"comment"}
    assert not any("checkout" in step.get("uses", "") for step in github["jobs"]["comment"]["steps"])
    for job in github["jobs"].values():  # what others name, as a branch, must not become shell
        assert not any("${{" in step.get("run", "") for step in job["steps"])


def test_every_job_that_another_waits_for_is_there(github, gitlab):
    for jobs in (github["jobs"], {name: job for name, job in gitlab.items() if isinstance(job, dict)}):
        for job in jobs.values():
            needed = job.get("needs", [])
            assert set([needed] if isinstance(needed, str) else needed) <= set(jobs)
    assert {job["stage"] for job in gitlab.values() if isinstance(job, dict) and "stage" in job} <= set(
        gitlab["stages"]
    )


def test_only_a_commit_is_compared_with(repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert re.fullmatch("[0-9a-f]{40}", before_and_after.commit_of("HEAD"))
    for name in ("no-such-branch", "--help", "HEAD:README.md"):
        with pytest.raises(UserError, match="there is no such commit"):
            before_and_after.commit_of(name)
