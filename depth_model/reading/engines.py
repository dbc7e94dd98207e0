"""Running one function over many parts, in order: here, in processes of this machine, or in tasks of a Ray cluster.

The function writes its result whole or not at all and recognizes finished ones, so that whatever is killed is
simply run again. At most a few parts for each worker are in the works at a time; memory does not grow with their
number.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from depth_model import files
from depth_model.errors import UserError
from depth_model.settings import Engine, NotNegative, Positive, setting

if TYPE_CHECKING:
    from depth_model.shards.source import SourceFolder
    from depth_model.shards.store import Bucket

HELPERS = min(8, os.cpu_count() or 1)
"""Threads that read, and as many that encode, in each worker that runs a network."""

Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class NetworkMachine:
    """Where a network runs over the shards of a source; `device` and `threads` change results by rounding only."""

    engine: Engine = setting("processes of this machine, or tasks on a Ray cluster", "local")
    processes: Positive = setting("shards in the works at once, two for each GPU", 1)
    threads: NotNegative = setting("of torch in each of them; 0: as many as torch takes", 0)
    device: Literal["auto", "cpu", "gpu"] = setting("", "auto")


_AHEAD = 2
_TRIES = 4
_LOCAL_TRIES = 2


def ordered(
    function: Callable[..., Result],
    parts: Iterable[Part],
    shared: Any,
    engine: Engine,
    workers: int,
    cpus: int = 1,
    gpus: int = 0,
    made: Callable[[Part, Any], Path] | None = None,
) -> Iterator[Result]:
    """Yield `function(part, shared)` for each of `parts`, in order, computed by `workers` at a time.

    `local` uses processes of this machine (none with one worker), `ray` tasks on the cluster that RAY_ADDRESS
    names, or on this machine without one; `cpus` and `gpus` are what a Ray task reserves. `made(part, shared)` is the
    path, without ending, of the files that a part leaves: a node that does not share this disk sends them, so that they
    are here when the result is yielded. A killed worker, or a lost node, costs the part it was at, which is tried
    again. Raises UserError when that happens time and again; an exception of `function` is raised as it is.
    """
    if engine == "ray":
        yield from _by_ray(function, parts, shared, workers, cpus, gpus, made)
    elif workers == 1:
        yield from (function(part, shared) for part in parts)
    else:
        yield from _by_processes(function, parts, shared, workers)


def over_shards(
    function: Callable[..., Result],
    source: SourceFolder,
    given: Any,
    scratch: Path,
    progress: Callable[[int], None],
    engine: Engine,
    processes: int,
    store: Bucket | None,
) -> Iterator[Result]:
    """Yield `function(part, (given, scratch, store))` for each shard of `source` whose sidecar is not finished in
    `scratch`; `progress(images)` is told of those that are. `given` has `threads` and `device`, as NetworkMachine has.
    Computed and raised as by `ordered`."""
    import torch  # parameters are checked without it

    from depth_model.shards.source import missing_parts

    missing = missing_parts(source, scratch, progress)
    cpus, gpus = given.threads or torch.get_num_threads(), int(given.device == "gpu")
    shared = (given, Path(scratch).absolute(), store)
    yield from ordered(function, missing, shared, engine, processes, cpus, gpus, _sidecar)


def _sidecar(source: SourceFolder, shared: tuple[Any, Path, Bucket | None]) -> Path:
    [(shard, _)] = source.shards()
    return (shared[1] / shard).with_suffix("")


def ahead(function: Callable[[Part], Result], parts: Iterable[Part], threads: int) -> Iterator[Result]:
    """Yield `function(part)` for each of `parts`, in order, computed ahead by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for part in parts:
            waiting.append(pool.submit(function, part))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Process:
    """One worker process, made when it is first needed and again after it was killed."""

    def __init__(self, slot: int) -> None:
        self._slot = slot
        self._pool: ProcessPoolExecutor | None = None

    def call(self, function: Callable[..., Result], part: Part, shared: Any) -> Result:
        """Return `function(part, shared)`, tried again once when the process is killed; then raises UserError."""
        for _ in range(_LOCAL_TRIES):
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, get_context("spawn"), _start_worker, (self._slot,))
            try:
                return self._pool.submit(function, part, shared).result()
            except BrokenProcessPool as error:
                killed = error
                self.end()
        raise UserError(
            f"a worker process was killed {_LOCAL_TRIES} times at the same part (out of memory?); finished shards are "
            "kept: run the same command again, with fewer workers if memory is short"
        ) from killed

    def end(self) -> None:
        """End the process after what it is at."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _by_processes(
    function: Callable[..., Result], parts: Iterable[Part], shared: Any, workers: int
) -> Iterator[Result]:
    # A pool for each process: a killed one takes a whole pool, and what it is at, with it.
    processes = [_Process(slot) for slot in range(workers)]
    free: SimpleQueue[_Process] = SimpleQueue()
    for process in processes:
        free.put(process)

    def call(part: Part) -> Result:
        process = free.get()
        try:
            return process.call(function, part, shared)
        finally:
            free.put(process)

    threads = ThreadPoolExecutor(workers)
    waiting: deque[Future[Result]] = deque()
    try:
        for part in parts:
            waiting.append(threads.submit(call, part))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
        for process in processes:
            process.end()


_slot = 0


def slot() -> int:
    """Return which of the local worker processes this one is, from 0; 0 in any other process."""
    return _slot


def _start_worker(number: int) -> None:
    global _slot
    _slot = number
    end_with_parent()


def end_with_parent() -> None:
    """Make a worker process end when its parent is killed, and leave Ctrl-C to the parent."""

    def wait() -> None:
        parent_process().join()
        os._exit(1)  # the parent was killed: nobody would ever stop this process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the work
    threading.Thread(target=wait, daemon=True).start()


def _by_ray(
    function: Callable[..., Result],
    parts: Iterable[Part],
    shared: Any,
    workers: int,
    cpus: int,
    gpus: int,
    made: Callable[[Part, Any], Path] | None,
) -> Iterator[Result]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # set before the import: Ray must not phone home
    if not os.environ.get("RAY_ADDRESS"):
        # A new cluster asks for a token, for whoever reaches its ports can run code in it. Without this one Ray would
        # keep its own in the home folder, as readable as the umask says.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    started = not ray.is_initialized()
    here, marks = f".{secrets.token_hex(8)}", set()
    if started:
        own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers * cpus, "include_dashboard": False}
        ray.init(log_to_driver=False, **own)
    try:
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=_TRIES)(_on_node)
        rules, waiting = ray.put(shared), deque()
        for part in parts:
            if made is not None and (mark := made(part, shared).with_name(here)) not in marks:
                files.write_text(mark, "")
                marks.add(mark)
            waiting.append(task.remote(function, part, rules, made, here))
            if len(waiting) >= _AHEAD * workers:
                yield _brought(*ray.get(waiting.popleft()))
        while waiting:
            yield _brought(*ray.get(waiting.popleft()))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise UserError(
            f"Ray lost a task {_TRIES + 1} times or cannot be reached ({type(error).__name__}); finished shards are "
            "kept: run the same command again"
        ) from error
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)
        if started:
            ray.shutdown()


def _on_node(
    function: Callable[..., Result], part: Any, shared: Any, made: Callable[[Any, Any], Path] | None, here: str
) -> tuple[Result, dict[Path, bytes]]:
    """Return `function(part, shared)` and the files that it has made, where no file `here` beside them says that the
    disk is the driver's."""
    result = function(part, shared)
    if made is None or made(part, shared).with_name(here).exists():
        return result, {}
    path = made(part, shared)
    last = path.with_suffix(".parquet")  # says that the part is finished
    return result, {one: one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}.*"), key=last.__eq__)}


def _brought(result: Result, found: dict[Path, bytes]) -> Result:
    for path, data in found.items():
        files.write_bytes(path, data)
    return result
