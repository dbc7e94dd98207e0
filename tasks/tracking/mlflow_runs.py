"""What a stage tells MLflow: one run per stage execution, continued after a kill, without double points.

The store is SQLite at the root of the project unless MLFLOW_TRACKING_URI names another. Nothing here is read by
a stage: with the store deleted the pipeline gives the same bytes. Registering models is `tasks.tracking.registry`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import CanPass
from depth_model.shown import redacted, without_password
from tasks.tracking.termination import termination_raises
from tasks.workspace.entry import Entry
from tasks.workspace.work import RUN_ID, Workplace

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "depth-anything"
FLOW_RUN_URL = "FLOW_RUN_URL"  # set for the stages by flows.full_pipeline
POINTS = "mlflow_points.jsonl"
CATALOGS = Path("data/catalog")
FLUSH_POINTS = 500
FLUSH_SECONDS = 10.0
ANSWER_SECONDS = 5
_FAILING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
"""MLflow's codes for a server that does not answer and for a database that cannot be used."""
# Limits of MLflow: beyond them it refuses the whole batch.
KEY_LENGTH, VALUE_LENGTH, POINTS_PER_BATCH, PARAMETERS_PER_BATCH, DIGEST_LENGTH = 250, 6000, 1000, 100, 36


def project_root() -> Path:
    """Return the folder of the store: DVC_ROOT (the project, also inside a temporary experiment), else the nearest
    folder upwards from the current one that holds dvc.yaml, else the current folder."""
    if os.environ.get("DVC_ROOT"):
        return Path(os.environ["DVC_ROOT"])
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").exists()), here)


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, else SQLite in `mlflow.db` at the root of the project.

    Raises UserError for a password in the address.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"
    remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or let the database read a file of its own"
    return without_password("MLFLOW_TRACKING_URI", uri, remedy)


@lru_cache
def check_answers(uri: str) -> None:
    """Raise CanPass when the tracking server at `uri` (http) does not answer within ANSWER_SECONDS.

    MLflow itself would try for minutes without a word. What it answers does not matter here.
    """
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise CanPass(
            f"MLFLOW_TRACKING_URI: no tracking server answers at {uri} within {ANSWER_SECONDS} s ({reason}); start it, "
            "or unset the variable to keep runs in mlflow.db"
        ) from error


def connect() -> MlflowClient:
    """Point MLflow at the project's store, and return a client of it.

    Several stages may start at once on a fresh checkout: one creates the database, the others wait for it. Raises
    UserError when a server does not answer.
    """
    if tracking_uri().startswith("http"):
        check_answers(tracking_uri())
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # prints a traceback, and raises it as well
    mlflow.set_tracking_uri(tracking_uri())
    with _one_at_a_time():
        database = Path(tracking_uri().removeprefix("sqlite:///"))
        if tracking_uri().startswith("sqlite:///") and not database.exists():
            # MLflow makes its tables in many steps and cannot go on from half of them, as a kill would leave.
            with files.atomic_path(database) as temporary:
                mlflow.MlflowClient(tracking_uri=f"sqlite:///{temporary}")
        return mlflow.MlflowClient()


@contextmanager
def answering() -> Iterator[None]:
    """Raise CanPass for what MLflow raises when its server is gone or its database fails (restarted, disk full)."""
    import mlflow.exceptions
    import sqlalchemy.exc

    try:
        yield
    except (mlflow.exceptions.MlflowException, sqlalchemy.exc.OperationalError) as error:
        if getattr(error, "error_code", _FAILING[0]) not in _FAILING:
            raise
        # SQLAlchemy's own words come before those of the database, which say what is wrong.
        cause = next((one.orig for one in (error, error.__cause__) if getattr(one, "orig", None)), error)
        said = next(iter(str(cause).splitlines()), "")
        raise CanPass(f"{redacted(tracking_uri())} fails: {said}; the same command goes on from here") from error


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with open(project_root() / "mlflow.db.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def experiment_id(client: MlflowClient) -> str:
    """Return the id of the experiment `depth-anything`, created at first use with its artifacts in `mlartifacts`."""
    with _one_at_a_time():
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return experiment.experiment_id
        # A server decides where artifacts lie; a relative default would be lost with an experiment's folder.
        local = None if tracking_uri().startswith("http") else (project_root() / "mlartifacts").as_uri()
        return client.create_experiment(EXPERIMENT, artifact_location=local)


class Run:
    """One MLflow run. Metric points are sent in batches and kept in a file until then, so that a kill loses none."""

    def __init__(self, client: MlflowClient, run_id: str, points: Path, resumed: bool) -> None:
        self.id = run_id
        self._client = client
        self._points = points
        self._resumed = resumed
        self._logged: dict[str, int] = {}
        self._waiting: list[dict[str, Any]] = []
        self._flushed = time.monotonic()
        self._recover()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log `metrics` at `step` (>= 0); without one, as figures of the whole run, of which the last counts.

        A resumed run repeats the steps since its last checkpoint: a step already logged is not logged again.
        """
        now = int(time.time() * 1000)
        points = [
            {"key": key, "value": float(value), "timestamp": now, "step": step or 0}
            for key, value in metrics.items()
            if step is None or step > self._last_step(key)
        ]
        with open(self._points, "a", encoding="utf-8") as handle:
            handle.write("".join(json.dumps(point) + "\n" for point in points))
        self._waiting += points
        if len(self._waiting) >= FLUSH_POINTS or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def metric_callback(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log `metrics` at `step`: the form in which `depth_model` reports its progress."""
        self.log_metrics(metrics, step)

    def flush(self) -> None:
        """Send every waiting metric point."""
        from mlflow.entities import Metric

        for batch in _batches(self._waiting, POINTS_PER_BATCH):
            self._client.log_batch(self.id, metrics=[Metric(**point) for point in batch])
        self._waiting.clear()
        self._points.unlink(missing_ok=True)
        self._flushed = time.monotonic()

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a folder, to the run's artifacts, below `folder` there."""
        log = self._client.log_artifacts if Path(path).is_dir() else self._client.log_artifact
        log(self.id, str(path), folder)

    def tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        self._client.set_tag(self.id, name, value)

    def _last_step(self, key: str) -> int:
        if key not in self._logged:
            history = self._client.get_metric_history(self.id, key) if self._resumed else []
            self._logged[key] = max((point.step for point in history), default=-1)
        return self._logged[key]

    def _recover(self) -> None:
        """Send the points that a killed process had still waiting, unless it died between sending and forgetting."""
        if not self._points.exists():
            return
        whole = [line for line in self._points.read_text(encoding="utf-8").splitlines(True) if line.endswith("\n")]
        points = [json.loads(line) for line in whole]
        sent = {
            (point.key, point.step, point.timestamp)
            for key in {point["key"] for point in points}
            for point in self._client.get_metric_history(self.id, key)
        }
        self._waiting = [point for point in points if (point["key"], point["step"], point["timestamp"]) not in sent]
        self.flush()


def log_entry(client: MlflowClient, run_id: str, entry: Entry) -> None:
    """Log what a stage is made from: its parameters flat (`student.trim`), and the catalogs it depends on as data sets.

    The sources of a catalog (`data/catalog/<role>.json`) become inputs by the hash of their manifests.
    """
    _log_parameters(client, run_id, entry.parameters)
    for path in map(Path, entry.data):
        if path.parent == CATALOGS:
            log_data_sets(client, run_id, path)


def log_data_sets(client: MlflowClient, run_id: str, catalog: Path) -> None:
    """Log every source of a catalog as an input, by the hash of its manifest."""
    from mlflow.entities import DatasetInput, InputTag

    context = [InputTag("mlflow.data.context", catalog.stem)]
    sources = files.read_json(catalog)
    inputs = [DatasetInput(_data_set(catalog.stem, name, entry), context) for name, entry in sources.items()]
    if inputs:
        client.log_inputs(run_id, datasets=inputs)


def manifest_digest(entry: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the manifest, or of the sidecar, that an entry of a catalog names."""
    return entry.get("manifest_sha256") or entry["sidecar_sha256"]


def _data_set(role: str, name: str, entry: Mapping[str, Any]) -> Any:
    from mlflow.entities import Dataset

    return Dataset(
        name=f"{role}/{name}",
        digest=manifest_digest(entry)[:DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": f"data/{role}/{name}"}),
        profile=json.dumps(dict(entry)),
    )


@contextmanager
def stage_run(workplace: Workplace) -> Iterator[Run]:
    """Yield the MLflow run of one execution of a stage, named `<stage>-<experiment or workspace>`, as `kept_run` does.

    `log_entry` says what it was made from.
    """
    name = f"{workplace.stage}-{os.environ.get('DVC_EXP_NAME') or 'workspace'}"
    tags = run_tags(workplace.stage, workplace.fingerprint)
    with kept_run(workplace.scratch / RUN_ID, workplace.folder / POINTS, name, tags) as run:
        log_entry(connect(), run.id, workplace.entry)
        yield run


@contextmanager
def kept_run(kept: Path, points: Path, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """Yield the MLflow run whose id the file `kept` holds, so that it goes on after a kill, or a new one of this `name`
    with `tags`; points that wait to be sent are in the file `points`.

    It ends FINISHED, FAILED after an exception, KILLED after Ctrl-C or SIGTERM. Raises CanPass when the store cannot
    be reached or fails.
    """
    with answering():
        client = connect()
        run_id, resumed = _run_id(client, kept, points, name, tags)
        run = Run(client, run_id, points, resumed)
        status = "KILLED"
        try:
            with termination_raises():
                yield run
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            run.flush()
            client.set_terminated(run_id, status)


def _run_id(client: MlflowClient, kept: Path, points: Path, name: str, tags: Mapping[str, str]) -> tuple[str, bool]:
    experiment = experiment_id(client)
    if kept.exists() and _exists(client, kept.read_text()):
        client.update_run(kept.read_text(), status="RUNNING")
        return kept.read_text(), True
    run = client.create_run(experiment, run_name=name, tags=dict(tags))
    points.unlink(missing_ok=True)
    files.write_text(kept, run.info.run_id)
    return run.info.run_id, False


def _exists(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False  # another store than before the kill, or a deleted one: a new run is right


def run_tags(stage: str, fingerprint: str) -> dict[str, str]:
    """Return the tags of a run of `stage`: where it belongs and what it was made from."""
    experiment = os.environ.get("DVC_EXP_NAME", "")
    tags = {
        "pipeline": "experiment" if experiment else "workspace",
        "stage": stage,
        "fingerprint": fingerprint,
        "dvc.experiment": experiment,
        "prefect.flow_run": os.environ.get(FLOW_RUN_URL, ""),
        "mlflow.source.name": stage,
        "mlflow.source.git.commit": git_commit(),
    }
    return {name: value for name, value in tags.items() if value}


def git_commit() -> str:
    """Return the commit checked out in the current folder, empty outside a repository."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def described_commit() -> str:
    """Return `git_commit`, and whether tracked files differ from it."""
    commit = git_commit()
    changed = ["git", "status", "--porcelain", "--untracked-files=no"]
    if commit and subprocess.run(changed, capture_output=True, check=False).stdout:
        return f"{commit}, with changes that are not committed"
    return commit


def flatten(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters as `section.key` -> text within MLflow's limits; what is no text as JSON.

    Text beyond a limit is cut and ends in a hash of the whole, so that different values stay different.
    """
    flat: dict[str, str] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            flat[_cut(f"{prefix}{key}", KEY_LENGTH)] = _cut(text, VALUE_LENGTH)
    return flat


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    ending = f"...{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return text[: length - len(ending)] + ending


def _log_parameters(client: MlflowClient, run_id: str, parameters: Mapping[str, Any]) -> None:
    """Log what is not there yet: a logged parameter cannot be changed, and a kill may have cut the list short."""
    from mlflow.entities import Param

    logged = client.get_run(run_id).data.params
    missing = [Param(key, value) for key, value in flatten(parameters).items() if key not in logged]
    for batch in _batches(missing, PARAMETERS_PER_BATCH):
        client.log_batch(run_id, params=batch)


def _batches(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
