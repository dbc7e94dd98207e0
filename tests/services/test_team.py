"""Two people with a store, MLflow and Prefect between them: what one made the other has, nothing is trained twice."""

from __future__ import annotations

import json
import subprocess

import mlflow
import pytest
import yaml

from tests.pipeline.conftest import Project, make_project

pytestmark = [pytest.mark.slow, pytest.mark.hostile, pytest.mark.timeout(3600)]
STUDENT = "depth-anything-student"
LISTING = ("inventory", "collect_metric@", "collect_semantic@")
"""What may run in a clone: exported files are younger there, and are read again into the same bytes."""


def of(project, name, services):
    """Let a checkout be that of a person."""
    project.environment |= services.person(name) | {"GIT_AUTHOR_NAME": name, "GIT_COMMITTER_NAME": name}
    for canary in ("AWS_SESSION_TOKEN", "MLFLOW_TRACKING_TOKEN"):
        project.environment.pop(canary)
    return project


@pytest.fixture(scope="module")
def ann(services, repository, tmp_path_factory):
    """The first person after one run, with everything pushed to `origin` and to the store."""
    shared = tmp_path_factory.mktemp("origin") / "project.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(shared)], check=True)
    project = of(make_project(tmp_path_factory.mktemp("ann"), repository), "ann", services)
    project.run("git", "remote", "set-url", "origin", str(shared))
    project.shared = shared
    content = yaml.safe_load((project.folder / "params.yaml").read_text())
    content["data"]["store"] = "s3://shards/tiny"
    (project.folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    project.run("dvc", "remote", "add", "-d", "team", "s3://dvc")
    project.first_output = project.run("depth-anything", "repro")
    for command in (
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "Train"],
        ["dvc", "push"],
        ["git", "push", "-q", "origin", "main"],
    ):
        project.run(*command)
    return project


@pytest.fixture(scope="module")
def bob(ann, services, tmp_path_factory):
    """The second person after clone and pull."""
    folder = tmp_path_factory.mktemp("bob") / "project"
    subprocess.run(["git", "clone", "-q", str(ann.shared), str(folder)], check=True)
    project = of(Project(folder), "bob", services)
    project.run("dvc", "pull")
    return project


@pytest.fixture
def registry(services, monkeypatch):
    """Return a client of MLflow as a person."""

    def client(name):
        for variable, value in services.person(name).items():
            monkeypatch.setenv(variable, value)
        mlflow.set_tracking_uri(services.mlflow_url)
        return mlflow.MlflowClient()

    return client


def test_the_second_person_has_the_models_and_trains_nothing(ann, bob):
    assert {"train_teacher", "train_student"} <= set(ann.ran(ann.first_output))
    assert bob.weights("student") == ann.weights("student")
    ran = bob.ran(bob.run("dvc", "repro"))
    assert [stage for stage in ran if not stage.startswith(LISTING)] == []
    assert not list((bob.folder / "data").rglob("*.tar"))  # the shards are in the store alone


def test_runs_versions_and_champion_are_those_of_both(ann, bob, registry):
    client = registry("bob")
    version = client.get_model_version_by_alias(STUDENT, "champion")
    assert version.version == "1"
    commit = ann.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    assert version.tags["commit"].startswith(commit)
    assert bob.run("depth-anything", "register").count(f"{STUDENT} version 1") == 1  # the same weights, no new version
    out = bob.folder / "out"
    picture = next((ann.folder / "data" / "exported").rglob("*.png"))
    model = f"models:/{STUDENT}@champion"
    bob.run("depth-anything", "predict", str(picture), "--model", model, "-o", str(out), "--short-side", "56")
    assert list(out.rglob("*.npy"))


def test_an_experiment_of_one_is_applied_by_the_other(ann, bob, registry):
    bob.run("git", "checkout", "-q", "--", ".")
    bob.run("dvc", "exp", "run", "-n", "lower", "-S", "alpha=0.70")
    bob.run("dvc", "exp", "push", "origin", "lower")
    ann.run("dvc", "exp", "pull", "origin", "lower")
    before = ann.weights("student")
    ann.run("dvc", "exp", "apply", "lower")
    assert ann.weights("student") == bob.weights("student") != before
    assert [one for one in ann.ran(ann.run("dvc", "repro")) if not one.startswith(LISTING)] == []
    client = registry("ann")
    assert client.get_model_version_by_alias(STUDENT, "champion").version == "1"  # experiments never move it
    assert client.get_model_version(STUDENT, "2").tags["parameter.alpha"] == "0.7"


def test_the_champion_goes_back_for_both(ann, bob, registry):
    client = registry("ann")
    bob.run("depth-anything", "rollback", "student", "--to", "2", "--why", "tried")
    assert client.get_model_version_by_alias(STUDENT, "champion").version == "2"
    ann.run("depth-anything", "rollback", "student", "--why", "stripes")
    assert client.get_model_version_by_alias(STUDENT, "champion").version == "1"
    tags = client.get_registered_model(STUDENT).tags
    moved = [json.loads(tags[key]) for key in sorted(tags) if key.startswith("champion.")]
    assert [(one["version"], one["by"]) for one in moved] == [("1", "ann"), ("2", "bob"), ("1", "ann")]


def test_no_secret_is_left_with_a_person(services, ann, bob):
    """Nothing in the clones holds a password or a key, and the files of secrets are their owner's alone."""
    own = [
        value
        for name in ("ann", "bob")
        for key, value in services.person(name).items()
        if "SECRET" in key or "PASSWORD" in key
    ]
    for project in (ann, bob):
        for path in project.folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                assert not any(secret.encode() in content for secret in own), path
    assert all(path.stat().st_mode & 0o077 == 0 for path in (services.folder / "secrets").iterdir())
