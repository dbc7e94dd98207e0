"""The secret between Prefect's server and its clients."""

from __future__ import annotations

import os
import stat

import pytest

from flows import access

pytestmark = pytest.mark.hostile


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder that looks like the project, without a secret in the environment."""
    (tmp_path / "flows").mkdir()
    for name in ("prefect.toml", "flows/full_pipeline.py"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for name in (access.SERVER, access.CLIENT, access.API_URL):
        monkeypatch.setenv(name, "")  # so that what the guard sets is undone
        monkeypatch.delenv(name)
    return tmp_path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_use_makes_a_secret_that_only_its_owner_reads(project):
    access.guard()
    secret = os.environ[access.SERVER]
    assert len(secret) > 30 and os.environ[access.CLIENT] == secret
    assert mode(project / ".env") == 0o600
    assert access.ensure_secret() == secret
    access.guard()
    assert os.environ[access.SERVER] == secret


def test_two_projects_have_two_secrets(project):
    assert access.ensure_secret(project / "a" / ".env") != access.ensure_secret(project / "b" / ".env")


def test_other_lines_of_the_file_stay(project):
    (project / ".env").write_text("WORD=1\n# mine\nPREFECT_API_AUTH_STRING=\n")
    secret = access.ensure_secret()
    text = (project / ".env").read_text()
    assert text.startswith("WORD=1\n# mine\n")
    assert text.count(secret) == 2 and text.count("PREFECT_API_AUTH_STRING") == 1
    assert mode(project / ".env") == 0o600


def test_a_file_that_others_can_read_is_closed(project):
    access.ensure_secret()
    (project / ".env").chmod(0o644)
    access.ensure_secret()
    assert mode(project / ".env") == 0o600


def test_the_environment_counts_more(project, monkeypatch):
    monkeypatch.setenv(access.SERVER, "mine:1")
    monkeypatch.setenv(access.CLIENT, "mine:1")
    access.guard()
    assert os.environ[access.SERVER] == "mine:1"


@pytest.mark.parametrize("url", ["https://api.prefect.cloud/api/x", "http://10.0.0.5:4200/api"])
def test_a_server_elsewhere_never_gets_the_secret(project, monkeypatch, url):
    monkeypatch.setenv(access.API_URL, url)
    access.guard()
    assert os.environ[access.CLIENT] == ""


@pytest.mark.parametrize("url", ["http://127.0.0.1:4200/api", "http://localhost:4300/api", "http://[::1]:4200/api"])
def test_a_server_here_does(project, monkeypatch, url):
    monkeypatch.setenv(access.API_URL, url)
    access.guard()
    assert os.environ[access.CLIENT] == os.environ[access.SERVER]


def test_other_folders_are_left_alone(project):
    (project / "prefect.toml").unlink()
    access.guard()
    assert not (project / ".env").exists()
    assert access.SERVER not in os.environ


def test_a_server_without_a_secret_does_not_start(project, monkeypatch):
    (project / ".env").mkdir()
    with pytest.raises(SystemExit, match=r"\.env: the secret of Prefect cannot be kept there"):
        access.guard()


def test_git_ignores_the_secret(repository):
    assert "/.env" in (repository / ".gitignore").read_text().split()
