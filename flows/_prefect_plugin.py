"""Gives every Prefect process of this project its secret, and lets `prefect deployment run full-pipeline` work, where
Prefect alone wants FLOW/DEPLOYMENT.

Prefect loads this through the entry point `prefect.plugins` when prefect.toml says `[plugins] enabled = true`. Prefect
offers no hook for names, so the client's look-up is replaced, and only in processes of that one command.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prefect.plugins import register_hook

import depth_model  # noqa: F401  (sets the opt-outs before Prefect looks at them)
from flows import access

Lookup = Callable[[Any, str], Awaitable[Any]]


@register_hook
def setup_environment(*, ctx: Any) -> None:  # Prefect refuses the hook unless ctx is keyword-only
    """Set the secret; replace the look-up of deployments by name, if this process is `prefect deployment run`."""
    access.guard()
    if not concerns(sys.argv[1:]):
        return
    from prefect.client.orchestration import PrefectClient

    PrefectClient.read_deployment_by_name = accept_bare_names(PrefectClient.read_deployment_by_name)


def concerns(arguments: Sequence[str]) -> bool:
    """Return whether these arguments of `prefect` are those of `prefect deployment run`."""
    return bool({"deployment", "deployments"} & set(arguments)) and "run" in arguments


def accept_bare_names(original: Lookup) -> Lookup:
    """Return a look-up that also takes a name without a slash.

    `name` is taken as `name/name` if that exists, else as the only deployment called `name`. Ends the process
    with a message when several flows have one, and raises ObjectNotFound when none has.
    """

    async def read_deployment_by_name(client: Any, name: str) -> Any:
        from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
        from prefect.exceptions import ObjectNotFound

        if "/" in name:
            return await original(client, name)
        try:
            return await original(client, f"{name}/{name}")
        except ObjectNotFound:
            wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
            found = await client.read_deployments(deployment_filter=wanted)
            if len(found) == 1:
                return found[0]
            if found:
                raise SystemExit(f"{len(found)} flows have a deployment {name!r}; say FLOW/{name}") from None
            raise

    return read_deployment_by_name
