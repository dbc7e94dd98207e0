"""The services of a team, started once for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.services.team import Services, postgres_program


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    for program in ("initdb", "pg_ctl", "psql"):
        postgres_program(program)
    started = Services(tmp_path_factory.mktemp("team"))
    try:
        for start in (started.postgres, started.s3, started.mlflow, started.prefect, started.prepare):
            start()
        yield started
    finally:
        started.stop()
