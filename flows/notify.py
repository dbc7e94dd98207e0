"""A message to a team's chat, or to any other address, when a flow ends: as JSON by HTTP.

The address is a secret, since who has it can write there: it comes from the environment of the worker, and no log
shows it.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from prefect import Flow, get_run_logger
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled
from prefect.utilities.urls import url_for

from depth_model.errors import UserError

WEBHOOK = "FLOW_WEBHOOK"
"""Environment variable with the http or https address that is told how each flow run ended."""
ANSWER_SECONDS = 10


def message(flow: str, run: str, state: State[Any], url: str) -> dict[str, str]:
    """Return what is sent: `text`, which chats such as Slack and Mattermost show, and its parts."""
    ended = Cancelled() if state.is_cancelling() else state  # Prefect tells before it writes the last state
    says = f"{flow} {ended.name.lower()} ({run}): {state.message or ''}".rstrip(": ")
    return {"text": f"{says}\n{url}".rstrip(), "flow": flow, "run": run, "state": ended.type.value, "url": url}


def send(address: str, content: dict[str, str]) -> None:
    """Post `content`; raises UserError for an address that is not http(s) and when nobody takes it."""
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{WEBHOOK}: must begin with http:// or https://")
    body, kind = json.dumps(content).encode(), {"Content-Type": "application/json"}
    try:
        urllib.request.urlopen(urllib.request.Request(address, body, kind), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(f"{WEBHOOK}: the message was not taken: {type(error).__name__}") from None


def tell(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # by name, after a cancellation
    """Tell WEBHOOK, where one is set, how a flow run ended; a message that does not arrive is only a warning."""
    address = os.environ.get(WEBHOOK)
    if not address:
        return
    try:
        send(address, message(flow.name, flow_run.name, state, url_for("flow-run", obj_id=flow_run.id) or ""))
    except UserError as error:
        get_run_logger({"flow_run": flow_run, "flow": flow}).warning("%s", error)


HOOKS = {"on_completion": [tell], "on_failure": [tell], "on_crashed": [tell], "on_cancellation": [tell]}
"""What every flow is given."""
