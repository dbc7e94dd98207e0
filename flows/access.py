"""Who may talk to this project's Prefect server: only those who can read `.env` here.

Whoever may register a deployment makes our worker run it, so the server asks for a secret. It lies in `.env` beside
prefect.toml, where Prefect looks for settings, readable by its owner only and ignored by git, and is made when Prefect
first runs in this folder: nobody has to type it but the browser, once.
"""

from __future__ import annotations

import os
import secrets
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from depth_model import files

ENV = Path(".env")
SERVER, CLIENT, API_URL = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING", "PREFECT_API_URL"


def guard() -> None:
    """Give the server and the clients of this folder their secret, unless the environment sets it.

    Nothing happens elsewhere than at the root of the project. The secret is never sent to a server on another machine.
    Ends the process with one line when `.env` cannot be written: a server without a secret must not start.
    """
    if not (Path("prefect.toml").exists() and Path("flows/full_pipeline.py").exists()):
        return
    try:
        secret = ensure_secret()
    except OSError as error:
        raise SystemExit(f"error: {ENV.resolve()}: the secret of Prefect cannot be kept there: {error}") from error
    os.environ.setdefault(SERVER, secret)
    os.environ.setdefault(CLIENT, secret if _is_here(os.environ.get(API_URL, "")) else "")


def ensure_secret(path: Path = ENV) -> str:
    """Return the secret in `path`; made first, with mode 600, if the file has none. Other lines are kept."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = _values(text)
    if {SERVER, CLIENT} <= set(found):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return found[SERVER]
    secret = found.get(SERVER) or found.get(CLIENT) or f"admin:{secrets.token_urlsafe(24)}"
    lines = [line for line in text.splitlines() if line.partition("=")[0].strip() not in (SERVER, CLIENT)]
    files.write_text(path, "\n".join([*lines, f"{SERVER}={secret}", f"{CLIENT}={secret}"]) + "\n", mode=0o600)
    return secret


def _values(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs if value.strip()}


def _is_here(url: str) -> bool:
    """Whether a URL leads to this machine; without one prefect.toml's counts, which does."""
    host = urlsplit(url).hostname or "localhost"
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
