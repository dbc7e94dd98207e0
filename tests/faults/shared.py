"""Faults of what people share: the S3 store, MLflow's server and PostgreSQL behind it, Prefect's server and worker."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
import yaml

from tests.fault_proxy import FaultProxy
from tests.faults.bench import Bench, Cannot, Moment, Started, by_hand, moment
from tests.processes import wait_for
from tests.services.team import Services

COLLECTED = "collect_unlabeled@hills"
"""The stage that fills the store: the cheapest one."""
TRAINED = "train_teacher"
PATIENCE = 90
"""Seconds that somebody watches a flow run which does not go on."""


class Team(Services):
    """The services of tests/services, each of which can be killed and started again at the same address."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.known: dict[str, tuple[list[str], dict[str, str], str, int]] = {}
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        stack.callback(self.stop)
        try:
            for start in (self.postgres, self.s3, self.mlflow, self.prepare):
                start()
        except pytest.skip.Exception as reason:
            raise Cannot(str(reason)) from reason

    def start(self, name: str, command: list[str], environment: dict[str, str], url: str) -> None:
        """Start a service, and know how."""
        super().start(name, command, environment, url)
        self.known[name] = (command, environment, url, len(self.running) - 1)

    def again(self, name: str, number: signal.Signals) -> None:
        """Signal a service with its whole group, and start it again when it has ended."""
        command, environment, url, at = self.known[name]
        ended = self.running.pop(at)
        os.killpg(ended.pid, number)
        ended.wait(60)
        super().start(name, command, environment, url)
        self.running.insert(at, self.running.pop())

    def restart_postgres(self, mode: str) -> None:
        """Restart PostgreSQL: `fast`, as its administrator does, or `immediate`, as a crash would be."""
        self._postgres("pg_ctl", "-D", "data", "-l", "log", "-m", mode, "-w", "restart")


class Store:
    """The team's store behind a proxy that can misbehave, and a copy of the bench that keeps its shards there."""

    def __init__(self, bench: Bench, team: Team, stack: ExitStack) -> None:
        self.proxy = FaultProxy(int(team.s3_url.rpartition(":")[2]))
        stack.callback(self.proxy.shutdown)
        self.given = team.person("ann") | {"AWS_ENDPOINT_URL": self.proxy.url}
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        keys = dict(zip(("aws_access_key_id", "aws_secret_access_key"), (self.given[name] for name in names)))
        self.client = boto3.client("s3", endpoint_url=team.s3_url, region_name="us-east-1", **keys)
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            del self.given[name]
        self.bench = bench.copied(bench.folder / "stored")
        params = self.bench.root / "params.yaml"
        content = yaml.safe_load(params.read_text())
        content["data"]["store"] = "s3://shards/faults"
        params.write_text(yaml.safe_dump(content, sort_keys=False))
        self.bench.within(COLLECTED, by_hand(COLLECTED), **self.given)
        self.bench.know(COLLECTED)
        self.requests = sum(self.proxy.asked.values())
        self.whole = self.content("shards")
        self.pushed, self.push_seconds = {}, 0.0

    def content(self, bucket: str, prefix: str = "") -> dict[str, str]:
        """Return the MD5 of what lies in a bucket, by name."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        names = [one["Key"] for page in pages for one in page.get("Contents", ())]
        bodies = ((name, self.client.get_object(Bucket=bucket, Key=name)["Body"].read()) for name in names)
        return {name: hashlib.md5(body).hexdigest() for name, body in bodies}

    def remote(self, name: str) -> None:
        """Let DVC push below `name`."""
        config = f"[core]\n    remote = team\n['remote \"team\"']\n    url = s3://dvc/{name}\n"
        (self.bench.root / ".dvc" / "config.local").write_text(config)

    def below(self, name: str) -> dict[str, str]:
        """Return the MD5 of what was pushed below `name`, by the rest of the name."""
        return {key.removeprefix(name): md5 for key, md5 in self.content("dvc", f"{name}/").items()}

    def written(self, name: str) -> dict[str, object]:
        """Return when each object below `name` was written."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="dvc", Prefix=f"{name}/")
        return {one["Key"]: one["LastModified"] for page in pages for one in page.get("Contents", ())}

    def empty(self, bucket: str) -> None:
        """Remove what lies in a bucket."""
        for name in self.content(bucket):
            self.client.delete_object(Bucket=bucket, Key=name)

    def well(self) -> None:
        """Let the store behave."""
        self.proxy.fault = lambda method, path, number: None


def store_fails(store: Store, faults: tuple[str, ...], odds: float, only: tuple[str, ...] = ()) -> Moment | None:
    """From a random request of a collection on the store fails with these odds, in one of the ways `faults`."""
    bench, seen = store.bench, []
    choose, begin = bench.choose, bench.choose.randrange(store.requests)
    bench.forget(COLLECTED)
    store.empty("shards")
    before = sum(store.proxy.faults.values())

    def fault(method: str, path: str, number: int) -> str | None:
        seen.append(path)
        bad = len(seen) > begin and choose.random() < odds and (not only or method in only)
        return choose.choice(faults) if bad else None

    def disturb(started: Started) -> bool:
        started.process.wait(600)
        return sum(store.proxy.faults.values()) > before

    store.proxy.fault = fault
    try:
        return moment(bench, COLLECTED, by_hand(COLLECTED), disturb, store.well, _stored(store), **store.given)
    finally:
        store.well()


def _stored(store: Store) -> Callable[[], bool]:
    return lambda: store.bench.equal(COLLECTED) and store.content("shards") == store.whole


def store_killed(store: Store, team: Team) -> Moment | None:
    """The store is killed in the middle of a collection, and comes back."""
    bench = store.bench
    seconds = bench.within(COLLECTED, by_hand(COLLECTED), **store.given)
    bench.forget(COLLECTED)
    store.empty("shards")

    def disturb(started: Started) -> bool:
        if started.ended_within(seconds):
            return False
        team.again("s3", signal.SIGKILL)
        return True

    return moment(bench, COLLECTED, by_hand(COLLECTED), disturb, equal=_stored(store), **store.given)


def push_interrupted(store: Store, disturb: Callable[[Started, float], bool]) -> Moment | None:
    """`dvc push` is disturbed in the middle; the next one sends the rest."""
    bench, command = store.bench, ["dvc", "push", "-q"]
    if not store.pushed:
        begun = time.monotonic()
        store.remote("whole")
        assert bench.start(*command, **store.given).process.wait(600) == 0
        store.push_seconds, store.pushed = time.monotonic() - begun, store.below("whole")
    name = f"{bench.choose.randrange(2**32):08x}"
    store.remote(name)
    there: dict[str, object] = {}

    def disturbed(started: Started) -> bool:
        struck = disturb(started, bench.choose.uniform(0, store.push_seconds))
        started.process.wait(600)
        there.update(store.written(name))
        return struck

    whole = lambda: store.below(name) == store.pushed  # noqa: E731
    found = moment(bench, COLLECTED, command, disturbed, store.well, whole, **store.given)
    now = store.written(name)
    lost = sum(now[one] != when for one, when in there.items())
    return found and replace(found, finished=len(there), lost=lost)


def ended_by(number: signal.Signals) -> Callable[[Started, float], bool]:
    """Return what sends a signal to a command after some seconds."""

    def disturb(started: Started, seconds: float) -> bool:
        if started.ended_within(seconds):
            return False
        os.killpg(started.process.pid, number)
        return True

    return disturb


def tracking_fails(bench: Bench, team: Team, break_it: Callable[[], None]) -> Moment | None:
    """While a training tells MLflow's server of itself, `break_it` breaks something behind it and brings it back."""
    given = {name: value for name, value in team.person("ann").items() if name.startswith("MLFLOW")}
    seconds = bench.within(TRAINED, by_hand(TRAINED), **given)
    bench.forget(TRAINED)

    def disturb(started: Started) -> bool:
        if started.ended_within(seconds):
            return False
        break_it()
        return True

    return moment(bench, TRAINED, by_hand(TRAINED), disturb, **given)


class Flows:
    """Prefect's server and a worker for the bench, each of which can be killed and started again."""

    def __init__(self, bench: Bench, team: Team, stack: ExitStack) -> None:
        self.bench, self.team = bench, team
        team.prefect()
        person = {name: value for name, value in team.person("worker").items() if name.startswith("PREFECT")}
        home = {"PREFECT_HOME": str(bench.folder / "prefect"), "PREFECT_WORKER_QUERY_SECONDS": "1"}
        self.given = person | home
        params = json.dumps({"to_stage": COLLECTED})
        self.command = ["prefect", "deployment", "run", "full-pipeline", "--watch", "--params", params]
        self.worker = self.work(["python", "-m", "flows.worker", "--wait", "300"])
        stack.callback(lambda: self.worker.process.kill())

    def work(self, command: list[str]) -> Started:
        """Start a worker and wait until it works."""
        worker = self.bench.start(*command, **self.given)
        self.bench.servants.add(worker.process.pid)
        wait_for(lambda: "started!" in worker.said(), 300, 0.3)
        return worker

    def kill_worker(self, number: signal.Signals) -> None:
        """End the worker, alone, and start another."""
        os.kill(self.worker.process.pid, number)
        self.worker.process.wait(60)
        self.worker = self.work(["prefect", "worker", "start", "--pool", "local"])


def flow_fails(flows: Flows, break_it: Callable[[Flows], None]) -> Moment | None:
    """Something of Prefect is killed while its worker runs a flow, and started again; Ctrl-C ends a wait in vain."""
    bench = flows.bench
    seconds = bench.within(COLLECTED, flows.command, **flows.given)
    bench.forget(COLLECTED)

    def disturb(started: Started) -> bool:
        if started.ended_within(seconds):
            return False
        break_it(flows)
        if not started.ended_within(PATIENCE):
            os.killpg(started.process.pid, signal.SIGINT)
        return True

    return moment(bench, COLLECTED, flows.command, disturb, **flows.given)
