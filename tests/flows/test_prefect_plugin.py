"""Bare deployment names, with a stand-in for the server's deployments."""

from __future__ import annotations

import asyncio
from importlib.metadata import entry_points
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from flows import _prefect_plugin


class Client:
    """Knows deployments by FLOW/NAME."""

    def __init__(self, *names):
        self.names = names

    async def read_deployment_by_name(self, name):
        flow, deployment = name.split("/")
        if name not in self.names:
            raise ObjectNotFound(http_exc=httpx.HTTPError("404"))
        return f"{flow}/{deployment}"

    async def read_deployments(self, *, deployment_filter):
        (wanted,) = deployment_filter.name.any_
        return [name for name in self.names if name.endswith(f"/{wanted}")]


def look_up(client, name):
    bare = _prefect_plugin.accept_bare_names(Client.read_deployment_by_name)
    return asyncio.run(bare(client, name))


def test_a_full_name_is_left_alone():
    assert look_up(Client("a/b", "b/b"), "a/b") == "a/b"


def test_a_bare_name_prefers_the_flow_of_that_name():
    assert look_up(Client("other/full-pipeline", "full-pipeline/full-pipeline"), "full-pipeline") == (
        "full-pipeline/full-pipeline"
    )


def test_a_bare_name_finds_the_only_deployment_so_called():
    assert look_up(Client("other/solo"), "solo") == "other/solo"


def test_two_flows_with_that_name_are_told_apart_by_the_user():
    with pytest.raises(SystemExit, match="2 flows have a deployment 'dup'; say FLOW/dup"):
        look_up(Client("one/dup", "two/dup"), "dup")


def test_an_unknown_name_stays_unknown():
    with pytest.raises(ObjectNotFound):
        look_up(Client("a/b"), "nosuch")


@pytest.mark.parametrize(
    ("arguments", "patched"),
    [
        (["deployment", "run", "full-pipeline"], True),
        (["deployments", "run", "full-pipeline", "--watch"], True),
        (["deployment", "ls"], False),
        (["server", "start"], False),
        (["flow-run", "ls"], False),
    ],
)
def test_only_that_command_is_changed(tmp_path, monkeypatch, arguments, patched):
    monkeypatch.chdir(tmp_path)
    original = PrefectClient.read_deployment_by_name
    monkeypatch.setattr(PrefectClient, "read_deployment_by_name", original)  # undone after the test
    monkeypatch.setattr(_prefect_plugin.sys, "argv", ["prefect", *arguments])
    _prefect_plugin.setup_environment(ctx=uuid4())
    assert (PrefectClient.read_deployment_by_name is not original) == patched


def test_prefect_finds_the_plugin():
    names = {point.value for point in entry_points(group="prefect.plugins")}
    assert "flows._prefect_plugin" in names
