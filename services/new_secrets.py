"""Makes every secret of a team's services, once: python services/new_secrets.py ann bob

Writes a folder (services/secrets, ignored by git) that the services are started with, in containers or without. No
secret has a default, and a folder that is there is never written over. Each service has what it needs and no more:
MLflow its databases and the bucket `artifacts`, Prefect its database, every person a key to the buckets `dvc` and
`shards` and a password for MLflow. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).with_name("secrets")
BUCKETS = {"artifacts": ("mlflow",), "dvc": (), "shards": ()}
"""Buckets, and who may use them besides the administrator; without a name: every person."""
WORKER = "worker"
"""The person that Prefect's worker is."""
TAKEN = (WORKER, "admin", "mlflow", "services")
ACTIONS = ("Read", "Write", "List", "Tagging")


def secret() -> str:
    """Return 32 characters that nobody can guess and that need no quotes anywhere."""
    return secrets.token_hex(16)


def environment() -> dict[str, str]:
    """Return the secrets of the services by the names of their variables."""
    names = ("POSTGRES_PASSWORD", "MLFLOW_DATABASE_PASSWORD", "PREFECT_DATABASE_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD")
    return {name: secret() for name in names} | {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret(),
        "PREFECT_SERVER_API_AUTH_STRING": f"team:{secret()}",
    }


def databases(known: dict[str, str]) -> str:
    """Return the SQL that makes a role and databases for each service, which no other may connect to."""
    lines = []
    for service, names in (("mlflow", ("mlflow", "mlflow_users")), ("prefect", ("prefect",))):
        password = known[f"{service.upper()}_DATABASE_PASSWORD"]
        lines.append(f"CREATE ROLE {service} LOGIN PASSWORD '{password}';")
        for name in names:
            lines += [f"CREATE DATABASE {name} OWNER {service};", f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;"]
    return "\n".join(lines) + "\n"


def identities(people: list[str]) -> dict[str, list[dict[str, object]]]:
    """Return who may do what with which bucket, as SeaweedFS reads it."""
    users = {"admin": ["Admin", *ACTIONS]}
    for bucket, services in BUCKETS.items():
        for name in services or people:
            users.setdefault(name, []).extend(f"{action}:{bucket}" for action in ACTIONS)
    return {
        "identities": [
            {"name": name, "credentials": [{"accessKey": name, "secretKey": secret()}], "actions": actions}
            for name, actions in users.items()
        ]
    }


def keys(found: dict[str, list[dict[str, object]]], name: str) -> tuple[str, str]:
    """Return the access key and the secret key of one of the `identities`."""
    (credentials,) = next(one["credentials"] for one in found["identities"] if one["name"] == name)
    return credentials["accessKey"], credentials["secretKey"]


def of_person(name: str, found: dict[str, list[dict[str, object]]], known: dict[str, str]) -> str:
    """Return the lines for the shell of one person."""
    access, key = keys(found, name)
    variables = {
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": key,
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": secret(),
        "PREFECT_API_AUTH_STRING": known["PREFECT_SERVER_API_AUTH_STRING"],
    }
    return lines(variables)


def lines(variables: dict[str, str]) -> str:
    """Return variables as compose and a shell read them."""
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def contents(people: list[str]) -> dict[str, str]:
    """Return name of file -> content of everything that is made."""
    known, found = environment(), identities(people)
    access, key = keys(found, "mlflow")
    known |= {"MLFLOW_S3_ACCESS_KEY": access, "MLFLOW_S3_SECRET_KEY": key}
    return {
        "services.env": lines(known),
        "databases.sql": databases(known),
        "s3.json": json.dumps(found, indent=2) + "\n",
        **{f"{name}.env": of_person(name, found, known) for name in people},
    }


def write(folder: Path, made: dict[str, str]) -> None:
    """Write the files, readable by their owner alone."""
    folder.mkdir(mode=0o700)
    for name, content in made.items():
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)


def main() -> None:
    """Write the folder, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", nargs="+", metavar="PERSON", help=f"who takes part, besides the {WORKER}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: services/secrets")
    given = parser.parse_args()
    for name in given.people:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,30}", name) or name in TAKEN:
            sys.exit(f"error: {name!r}: a person is small letters and digits, and none of {', '.join(TAKEN)}")
    if given.folder.exists():
        sys.exit(f"error: {given.folder}: is there already; move it away to make new secrets")
    write(given.folder, contents([*given.people, WORKER]))
    print(f"{given.folder}: services.env for the services, PERSON.env for each person; give each only their own")


if __name__ == "__main__":
    main()
