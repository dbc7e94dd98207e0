"""Decoders in a process of their own, whose death costs the file at hand and nothing else.

Native libraries end their process on some damaged files, or never return. A function decorated with `apart` runs in a
helper that is started when it is first needed (0.3 s), one for each process, and is told what to do through a pipe:
about a millisecond for a megabyte of values. Its memory is bounded by the decode budget, its time by `seconds`. Nothing
that it says is trusted: answers are JSON and plain arrays, never pickles.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import json
import math
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from depth_model.errors import BadInput
from depth_model.shards import decoding

Function = TypeVar("Function", bound=Callable[..., Any])

_TRIES = 2
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that somebody sent: the file is not at fault."""

_START = "import sys; sys.path[:] = sys.argv[1:]; from depth_model.shards import apart; apart.serve()"
_LENGTH = struct.Struct("<I")
_MEMORY = 2 * 10**9
"""Bytes that the helper may hold beside three times the budget: its libraries, the file, and copies of the values."""

_serving = False


def apart(seconds: int = 120) -> Callable[[Function], Function]:
    """Run a function of a module in the helper process, `seconds` at most.

    What it takes and returns are None, bools, numbers, texts, bytes, paths, arrays and sequences of these (which come
    back as lists). It raises BadInput and OSError as ever, BadInput too when it kills its process or takes too long,
    and OSError when somebody kills that; any other exception comes as RuntimeError with its traceback.
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            if _serving:
                return function(*given, **named)
            return _of_process(os.getpid()).call([function.__module__, function.__qualname__, seconds], given, named)

        return call

    return decorate


@cache
def _of_process(process: int) -> _Helper:
    """Return the helper of this process; a forked one never shares it."""
    helper = _Helper()
    atexit.register(helper.end)
    return helper


class _Helper:
    """The process that works for this one, made when it is first needed and again after its death."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def call(self, what: list[Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        with self._lock:
            for _ in range(_TRIES):
                try:
                    return self._answer(what, given, named)
                except (EOFError, BrokenPipeError):
                    code = self.end()
                if -code not in _FROM_OUTSIDE:
                    raise _death(code, what[2])
        raise OSError(errno.EINTR, "the process that decodes was killed twice at this file (out of memory?)")

    def _answer(self, what: list[Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self._process is None:
            self._process = _started()
        _send(self._process.stdin, [*what, decoding.budget(), given, list(named), list(named.values())])
        kind, answer = _receive(self._process.stdout)
        if kind == "value":
            return answer
        if kind == "refused":
            raise BadInput(answer)
        if kind == "unread":
            raise OSError(*answer)
        raise RuntimeError(answer)

    def end(self) -> int:
        """End the process and return its exit code, that of its death when it is already dead."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.stdin.close()
        process.stdout.close()
        return process.wait()


def _death(code: int, seconds: int) -> Exception:
    if code == -signal.SIGALRM:
        return BadInput(f"decoding took more than {seconds} seconds: damaged, or made to last")
    if code < 0:
        return BadInput(f"damaged: its decoder died ({signal.Signals(-code).name})")
    return RuntimeError(f"the process that decodes ended with exit code {code}")


def _started() -> subprocess.Popen[bytes]:
    # One thread for linear algebra that it never does: each would reserve memory of its own.
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _START, *(os.path.abspath(folder) for folder in sys.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=alone, **pipes)


def serve() -> None:
    """Answer calls from the standard input until it ends: what the helper process runs."""
    global _serving
    _serving = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the work
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print
    while True:
        try:
            module, name, seconds, budget, given, names, values = _receive(questions)
        except EOFError:
            return
        signal.alarm(seconds)  # whatever a native library is at, this ends the process
        _send(answers, _done(module, name, budget, given, dict(zip(names, values, strict=True))))
        signal.alarm(0)


def _done(module: str, name: str, budget: int, given: list[Any], named: dict[str, Any]) -> tuple[str, Any]:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = 3 * budget + _MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        with decoding.limited_to(budget):
            return "value", getattr(importlib.import_module(module), name)(*given, **named)
    except BadInput as error:
        return "refused", str(error)
    except MemoryError:
        return "refused", f"needs more memory than collect.decode_budget ({budget} bytes) allows"
    except OSError as error:
        return "unread", (error.errno, error.strerror or str(error))
    except Exception:
        return "fault", traceback.format_exc()


def _send(stream: IO[bytes], message: Any) -> None:
    parts: list[Any] = []
    head = json.dumps(_described(message, parts)).encode()
    for part in (_LENGTH.pack(len(head)), head, *parts):
        stream.write(part)
    stream.flush()


def _described(value: Any, parts: list[Any]) -> Any:
    """Return `value` as JSON; the content of bytes and arrays is added to `parts`."""
    if isinstance(value, (list, tuple)):
        return [_described(one, parts) for one in value]
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, bytes):
        parts.append(value)
        return {"bytes": len(value)}
    if isinstance(value, np.ndarray):
        parts.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return {"dtype": value.dtype.str, "shape": value.shape}
    return value


def _receive(stream: IO[bytes]) -> Any:
    head = json.loads(bytes(_exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0])))
    return _restored(head, stream)


def _restored(value: Any, stream: IO[bytes]) -> Any:
    if isinstance(value, list):
        return [_restored(one, stream) for one in value]
    if not isinstance(value, dict):
        return value
    if "path" in value:
        return Path(value["path"])
    if "bytes" in value:
        return bytes(_exactly(stream, value["bytes"]))
    dtype = np.dtype(value["dtype"])
    return _exactly(stream, math.prod(value["shape"]) * dtype.itemsize).view(dtype).reshape(value["shape"])


def _exactly(stream: IO[bytes], size: int) -> np.ndarray:
    content = np.empty(size, np.uint8)
    view, filled = memoryview(content), 0
    while filled < size:
        count = stream.readinto(view[filled:])
        if not count:
            raise EOFError
        filled += count
    return content
