"""Makes what a team's services need once they run and lack: buckets, and a user of MLflow for every person.

python services/prepare.py --store http://127.0.0.1:8333 --mlflow http://127.0.0.1:5000
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import boto3
from botocore.config import Config
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client
from new_secrets import BUCKETS, FOLDER, keys


def variables(path: Path) -> dict[str, str]:
    """Return name -> value of a file of variables."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def buckets(folder: Path, url: str) -> None:
    """Make the buckets that are not there, as the administrator of the store."""
    access, key = keys(json.loads((folder / "s3.json").read_text()), "admin")
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access,
        aws_secret_access_key=key,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 10, "mode": "standard"}),
    )
    there = {one["Name"] for one in client.list_buckets()["Buckets"]}
    for bucket in BUCKETS:
        if bucket not in there:
            client.create_bucket(Bucket=bucket)
            print(f"bucket {bucket}: made")


def users(folder: Path, url: str) -> None:
    """Make the users that MLflow does not know, as its administrator."""
    os.environ["MLFLOW_TRACKING_USERNAME"] = "admin"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = variables(folder / "services.env")["MLFLOW_AUTH_ADMIN_PASSWORD"]
    client = get_app_client("basic-auth", tracking_uri=url)
    for path in sorted(folder.glob("*.env")):
        person = variables(path)
        if "MLFLOW_TRACKING_USERNAME" not in person:
            continue
        try:
            client.create_user(person["MLFLOW_TRACKING_USERNAME"], person["MLFLOW_TRACKING_PASSWORD"])
            print(f"user {path.stem}: made")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def main() -> None:
    """Make both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="address of the S3 store")
    parser.add_argument("--mlflow", required=True, help="address of MLflow")
    parser.add_argument("--secrets", type=Path, default=FOLDER, help="default: services/secrets")
    given = parser.parse_args()
    buckets(given.secrets, given.store)
    users(given.secrets, given.mlflow)


if __name__ == "__main__":
    main()
