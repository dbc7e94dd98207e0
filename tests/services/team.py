"""A team's services on this machine, each as docs/team.md starts it, in one folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 600
"""For a service to answer, beside other work."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def postgres_program(name):
    """The path of a program of PostgreSQL, which Debian keeps beside the PATH; skips without one."""
    found = [shutil.which(name), *sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))[-1:]]
    path = next((one for one in found if one), None)
    if path is None:
        pytest.skip(f"no PostgreSQL on this machine ({name}): apt-get install postgresql")
    return path


def variables(path):
    """{name: value} of a file of variables."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def answered(url, user=None, password=None):
    """The status of an answer to GET, None while nothing listens."""
    request = urllib.request.Request(url)
    if user is not None:
        request.add_header("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class Services:
    """The services that were started, their addresses and secrets; `stop` ends them."""

    def __init__(self, folder):
        self.folder, self.running, self.known, self.prefect_url = folder, {}, {}, ""
        command = [sys.executable, "services/new_secrets.py", "ann", "bob", "--folder", str(folder / "secrets")]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        self.secrets = variables(folder / "secrets" / "services.env")
        foreign = ("AWS_", "MLFLOW_", "PREFECT_")
        self.plain = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.plain["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]

    def start(self, name, command, environment, url):
        """Start a service and wait until it answers."""
        self.known[name] = command, environment, url
        log = open(self.folder / f"{name}.log", "a")
        process = subprocess.Popen(
            command,
            env=self.plain | environment,
            cwd=self.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.running[name] = process
        deadline = time.monotonic() + SECONDS
        while answered(url) is None:
            said = (self.folder / f"{name}.log").read_text()[-3000:]
            assert process.poll() is None and time.monotonic() < deadline, f"{name}: {said}"
            time.sleep(0.5)

    def again(self, name, number):
        """Signal a service with its whole group, and start it again once it has ended."""
        os.killpg(self.running[name].pid, number)
        self.running[name].wait(60)
        self.start(name, *self.known[name])

    def postgres(self):
        """PostgreSQL with a role and databases for each service, as a user of its own: it refuses root."""
        self.data = Path(tempfile.mkdtemp(prefix="depth-anything-postgres-", dir="/tmp"))
        owner = next(one for one in ("postgres", "nobody") if one in {user.pw_name for user in pwd.getpwall()})
        self.as_owner = {"user": owner, "extra_groups": []} if os.geteuid() == 0 else {}
        (self.data / "password").write_text(self.secrets["POSTGRES_PASSWORD"])
        if self.as_owner:
            for path in (self.data, self.data / "password"):
                shutil.chown(path, owner)
        (self.postgres_port,) = free_ports(1)
        self._postgres("initdb", "-D", "data", "-U", "postgres", "-A", "scram-sha-256", "--pwfile=password")
        options = f"-p {self.postgres_port} -k {self.data} -c listen_addresses=127.0.0.1"
        self._postgres("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")
        sql = self.folder / "secrets" / "databases.sql"
        done = self.psql("postgres", self.secrets["POSTGRES_PASSWORD"], "postgres", "-f", str(sql))
        assert done.returncode == 0, done.stderr

    def _postgres(self, program, *arguments):
        command = [postgres_program(program), *arguments]
        subprocess.run(command, cwd=self.data, check=True, stdout=subprocess.DEVNULL, **self.as_owner)

    def restart_postgres(self, mode):
        """Restart PostgreSQL: `fast`, as its administrator does, or `immediate`, as after a crash."""
        self._postgres("pg_ctl", "-D", "data", "-l", "log", "-m", mode, "-w", "restart")

    def psql(self, user, password, database, *arguments):
        where = ["-h", "127.0.0.1", "-p", str(self.postgres_port), "-U", user, "-d", database]
        command = ["psql", "-v", "ON_ERROR_STOP=1", *where, *arguments]
        environment = self.plain | {"PGPASSWORD": password}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def s3(self):
        """SeaweedFS, which knows who may do what; without it moto, which asks nobody."""
        weed, ports = shutil.which("weed"), free_ports(10)
        self.s3_url, self.knows_keys = f"http://127.0.0.1:{ports[0]}", weed is not None
        (self.folder / "s3").mkdir()
        moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports[0])]
        parts = ("master", "volume", "filer")
        names = [f"s3.port.{one}" for one in ("grpc", "iceberg", "lance")]
        names += [f"{part}.port{kind}" for part in parts for kind in ("", ".grpc")]
        own = [f"-{name}={port}" for name, port in zip(names, ports[1:])]
        size = ["-volume.max=100", "-master.volumeSizeLimitMB=64", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        keys = f"-s3.config={self.folder / 'secrets' / 's3.json'}"
        ours = [weed, "server", f"-dir={self.folder / 's3'}", "-s3", f"-s3.port={ports[0]}", keys, *size, *own]
        self.start("s3", ours if weed else moto, {}, f"{self.s3_url}/healthz")

    def mlflow(self):
        """MLflow with users, its runs in PostgreSQL and its artifacts in the store."""
        (port,) = free_ports(1)
        self.mlflow_url = f"http://127.0.0.1:{port}"
        command = ["mlflow", "server", "--app-name=basic-auth", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
        stores = ["--backend-store-uri=postgresql+psycopg2:///mlflow", "--artifacts-destination=s3://artifacts"]
        environment = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.postgres_port),
            "PGUSER": "mlflow",
            "PGPASSWORD": self.secrets["MLFLOW_DATABASE_PASSWORD"],
            "AWS_ACCESS_KEY_ID": self.secrets["MLFLOW_S3_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": self.secrets["MLFLOW_S3_SECRET_KEY"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_S3_ENDPOINT_URL": self.s3_url,
            "MLFLOW_AUTH_CONFIG_PATH": str(REPOSITORY / "services" / "mlflow_users.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.secrets["MLFLOW_AUTH_ADMIN_PASSWORD"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secrets["MLFLOW_FLASK_SERVER_SECRET_KEY"],
        }
        self.start("mlflow", [*command, *stores], environment, f"{self.mlflow_url}/health")

    def prefect(self):
        """The Prefect server over PostgreSQL."""
        (port,) = free_ports(1)
        self.prefect_url = f"http://127.0.0.1:{port}/api"
        password = self.secrets["PREFECT_DATABASE_PASSWORD"]
        database = f"postgresql+asyncpg://prefect:{password}@127.0.0.1:{self.postgres_port}/prefect"
        environment = {
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_API_AUTH_STRING": self.secrets["PREFECT_SERVER_API_AUTH_STRING"],
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_HOME": str(self.folder / "prefect"),
        }
        shutil.copy2(REPOSITORY / "prefect.toml", self.folder)
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        self.start("prefect", command, environment, f"{self.prefect_url}/health")

    def prepare(self):
        """Buckets, and the people as users of MLflow."""
        command = [sys.executable, "services/prepare.py", "--store", self.s3_url, "--mlflow", self.mlflow_url]
        command += ["--secrets", str(self.folder / "secrets")]
        subprocess.run(command, cwd=REPOSITORY, env=self.plain, check=True)

    def person(self, name):
        """The environment of a person: what docs/team.md lets them set."""
        own = variables(self.folder / "secrets" / f"{name}.env")
        addresses = {"AWS_ENDPOINT_URL": self.s3_url, "AWS_DEFAULT_REGION": "us-east-1"}
        return own | addresses | {"MLFLOW_TRACKING_URI": self.mlflow_url, "PREFECT_API_URL": self.prefect_url}

    def stop(self):
        for process in reversed(self.running.values()):
            with suppress(ProcessLookupError):  # one that ended by itself
                os.killpg(process.pid, 15)
            process.wait(60)
        if hasattr(self, "data"):
            self._postgres("pg_ctl", "-D", "data", "-m", "fast", "-w", "stop")
            shutil.rmtree(self.data)
