"""Running one function over many parts, in order: here, in processes of this machine, or in tasks of a Ray cluster.

The function writes its result whole or not at all and recognises finished ones, so that whatever is killed is
simply run again. At most a few parts for each worker are in the works at a time; memory does not grow with their
number.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, Literal, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

Engine = Literal["local", "ray"]
_AHEAD = 2
_TRIES = 4


class WorkerKilled(RuntimeError):
    """A worker ended without a result; what is finished is kept."""


def ordered(
    function: Callable[..., Result], parts: Iterable[Part], shared: Any, engine: Engine, workers: int
) -> Iterator[Result]:
    """Yield `function(part, shared)` for each of `parts`, in order, computed by `workers` at a time.

    `local` uses processes of this machine (none with one worker), `ray` tasks on the cluster that RAY_ADDRESS
    names, or on this machine without one. Raises WorkerKilled when a local worker is killed, or one of Ray time
    and again; an exception of `function` is raised as it is.
    """
    if engine == "ray":
        yield from _by_ray(function, parts, shared, workers)
    elif workers == 1:
        yield from (function(part, shared) for part in parts)
    else:
        yield from _by_processes(function, parts, shared, workers)


def _by_processes(
    function: Callable[..., Result], parts: Iterable[Part], shared: Any, workers: int
) -> Iterator[Result]:
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(function, part, shared))
                if len(waiting) >= _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerKilled(
                "a collecting process was killed (out of memory?); finished shards are kept: run the same command "
                "again, with fewer collect.workers if memory is short"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Make a worker process end when its parent is killed, and leave Ctrl-C to the parent."""

    def wait() -> None:
        parent_process().join()
        os._exit(1)  # the parent was killed: nobody would ever stop this process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the work
    threading.Thread(target=wait, daemon=True).start()


def _by_ray(function: Callable[..., Result], parts: Iterable[Part], shared: Any, workers: int) -> Iterator[Result]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # set before the import: Ray must not phone home
    import ray

    started = not ray.is_initialized()
    if started:
        here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
        ray.init(log_to_driver=False, **here)
    try:
        task = ray.remote(num_cpus=1, max_retries=_TRIES)(function)
        rules, waiting = ray.put(shared), deque()
        for part in parts:
            waiting.append(task.remote(part, rules))
            if len(waiting) >= _AHEAD * workers:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise WorkerKilled(
            f"Ray lost a task {_TRIES + 1} times or cannot be reached ({type(error).__name__}); finished shards are "
            "kept: run the same command again"
        ) from error
    finally:
        if started:
            ray.shutdown()
