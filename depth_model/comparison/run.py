"""Evaluation of one model on one set that survives being killed, in one process or several.

Every finished image is a line of `results.jsonl` in the folder of the run, written by one process only and at once; a
line that was cut off by a kill does not count. The same call goes on with the images that are missing. The folder
belongs to one fingerprint of model, set and protocol: for another one it is emptied first. PyTorch computes with one
thread per process, for the number of threads changes rounding: the results are the same bytes however many processes.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO

from depth_model import files
from depth_model.comparison import adapters
from depth_model.errors import UserError
from depth_model.evaluation.cases import Cases
from depth_model.evaluation.harness import Result, image_result
from depth_model.evaluation.protocols import Protocol
from depth_model.prediction.estimator import Estimator
from depth_model.reading.engines import end_with_parent

RESULTS, FINGERPRINT = "results.jsonl", "fingerprint"


@dataclass(frozen=True)
class Job:
    """A model under a name (as `adapters.load` takes it) on the cases of a set; cheap to send to another process."""

    title: str
    model: str
    settings: adapters.Settings
    cases: Cases
    protocol: Protocol


def finished_results(
    job: Job, folder: Path, fingerprint: str, processes: int, progress: Callable[[int], None]
) -> list[Result]:
    """Return a result per case in order (see `harness.Result`).

    `progress(n)` is called with the number of images that were finished before, then with 1 after each. Raises
    UserError when another process is at the same run or one is lost, and what loading the model raises.
    """
    with _opened(folder, fingerprint) as handle:
        done = _read(folder / RESULTS, handle)
        progress(len(done))
        missing = [index for index in range(len(job.cases)) if index not in done]
        for index, result in _results(job, missing, processes):
            handle.write(json.dumps({"index": index, **result}) + "\n")
            handle.flush()
            done[index] = result
            progress(1)
    return [done[index] for index in range(len(job.cases))]


@contextmanager
def _opened(folder: Path, fingerprint: str) -> Iterator[IO[str]]:
    stored, found = folder / FINGERPRINT, folder / RESULTS
    files.ask_guards(stored)
    if not stored.exists():  # results grow, so it is the fingerprint beside them that tells whose they are
        files.ask_guards(found)
    folder.mkdir(parents=True, exist_ok=True)
    with open(files.appending(folder / ".lock"), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder.name}: another process is at the same evaluation; wait for it") from error
        if not stored.exists() or stored.read_text() != fingerprint:
            found.unlink(missing_ok=True)
            files.write_text(stored, fingerprint)
        with open(files.appending(found), "a+", encoding="utf-8") as handle:
            yield handle


def _read(path: Path, handle: IO[str]) -> dict[int, Result]:
    """Return index -> result of the whole lines, and cut off what a kill left of another."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    handle.truncate(len(whole))
    results = [json.loads(line) for line in whole.splitlines()]
    return {result.pop("index"): result for result in results}


def _results(job: Job, indices: list[int], processes: int) -> Iterator[tuple[int, Result]]:
    if not indices:
        return
    if processes == 1:
        with _one_thread():
            models = {job.title: adapters.load(job.model, job.settings)}
            yield from ((index, image_result(models, job.cases, index, job.protocol)) for index in indices)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_start, initargs=(job,)) as pool:
        try:
            waiting = {pool.submit(_result_here, index): index for index in indices}
            for one in as_completed(waiting):
                yield waiting[one], one.result()
        except BrokenProcessPool as error:
            raise UserError(
                "an evaluating process ended (out of memory, or the model cannot be loaded: see above); finished "
                "images are kept: run the same command again, with fewer --processes if memory is short"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_here: tuple[Job, Estimator] | None = None


def _start(job: Job) -> None:
    global _here
    import torch

    end_with_parent()
    torch.set_num_threads(1)
    _here = job, adapters.load(job.model, job.settings)


def _result_here(index: int) -> Result:
    assert _here is not None
    job, estimator = _here
    return image_result({job.title: estimator}, job.cases, index, job.protocol)
