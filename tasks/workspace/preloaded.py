"""Stages as copies of one process that has imported the libraries: one starts in a tenth of a second, not in ten.

Of a run of many small stages half the time goes into importing torch, MLflow and Great Expectations, in each stage
anew. `offered` starts a process beside DVC that imports them once. `python -m tasks`, in which an environment variable
names that process, hands its stage over: the process forks, and the copy has the arguments, environment, folder and
open files of the one that DVC started, which passes signals on, is given the exit code, and takes the copy with it when
it dies. No module of ours is imported before the fork, so that a stage runs the code that is there when it starts.
Under a bare `dvc repro`, or as long as the libraries are not there yet, it runs in the process that DVC started.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

SOCKET = "OPEN_DEPTH_PRELOADED"
"""Environment variable with the path of the socket at which the process is asked."""
LIBRARIES = (
    "pandas",
    "pyarrow.dataset",
    "cv2",
    "dvc.repo",
    "dvc.scm",
    "torch",
    "timm",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.pyfunc.model",
    "great_expectations",
    "matplotlib.pyplot",
    "lightning_fabric",
    "transformers.models.mask2former.modeling_mask2former",
)
"""What makes stages start slowly; what is not installed is left out."""
OURS = ("tasks", "depth_model", "flows")
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def offered(libraries: Sequence[str] = LIBRARIES) -> Iterator[str]:
    """Start the process in the current folder, for the stages that this process starts while the block lasts.

    Yields the path of its socket, which stands in the environment. It also ends when this process is killed, since its
    stdin ends then.
    """
    with tempfile.TemporaryDirectory(prefix="stages-") as folder:  # for this user alone, as the socket in it
        path = str(Path(folder, "socket"))
        command = [sys.executable, "-m", __name__, path, *libraries]
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as server:
            os.environ[SOCKET] = path
            try:
                yield path
            finally:
                os.environ.pop(SOCKET, None)
                server.kill()


def hand_over(arguments: Sequence[str]) -> int | None:
    """Have a copy of the preloaded process run the stage, and wait; return its exit code (128 + n for signal n).

    None when there is no such process: nothing was done then.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ.get(SOCKET, ""))
        except OSError:
            return None

        def pass_on(number: int, frame: object) -> None:
            with suppress(OSError):  # the stage has just ended
                connection.send(bytes([number]))

        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # else its byte may come into the middle of the request
        for number in PASSED_ON:
            signal.signal(number, pass_on)
        request = {"arguments": list(arguments), "folder": os.getcwd(), "environment": dict(os.environ)}
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        answer = b""
        with suppress(ConnectionError):  # it was killed before it read all that was sent
            answer = connection.recv(1)
    return answer[0] if answer else 128 + signal.SIGKILL


def serve(path: str, libraries: Sequence[str]) -> None:
    """Import the `libraries` that are installed and fork for whoever asks at the socket `path`.

    Returns in a copy alone, which is to run its stage; the process itself ends with its stdin.
    """
    _import(libraries)
    gc.freeze()  # what is there is shared with the copies; to look through it would copy it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps those who keep the copies
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _keep(connection)
                return
            connection.close()
    sys.exit()


def _import(libraries: Sequence[str]) -> None:
    from importlib import import_module
    from importlib.util import find_spec

    # A library that asks for a GPU while it is imported would otherwise leave CUDA begun, and no copy could use it.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    import_module("depth_model")  # libraries are quiet only after it
    for name in libraries:
        if find_spec(name.partition(".")[0]):
            import_module(name)
    if "mlflow" in sys.modules:  # before a process registers a model it goes through all installed files: 1.5 s
        import_module("mlflow.utils.requirements_utils")._init_modules_to_packages_map()


def _keep(connection: socket.socket) -> None:
    """Fork the stage that is asked for and stay with it until its end; returns in the fork alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    reader = connection.makefile("rb")
    asked = reader.readline()
    if not asked.endswith(b"\n"):  # who asks was killed before it had
        os._exit(0)
    request = json.loads(asked)
    stage = os.fork()
    if stage == 0:
        reader.close()
        connection.close()
        _become(request, descriptors)
        return
    os.setpgid(stage, stage)  # here too: a signal may come before the copy has done so
    threading.Thread(target=_pass_on, args=(reader, stage), daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(stage, 0)[1])
    try:
        connection.sendall(bytes([code if code >= 0 else 128 - code]))
    finally:
        os._exit(0)


def _pass_on(signals: BinaryIO, stage: int) -> None:
    """Signal the group of the stage as the asking process is signaled, and kill it when that one is gone."""
    while one := signals.read(1):
        signal_group(stage, one[0])
    signal_group(stage, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Signal a process group; return whether there is one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _become(request: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Take the place of the asking process, at the head of a process group."""
    os.setpgid(0, 0)
    for own, given in enumerate(descriptors):
        os.dup2(given, own)
        os.close(given)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    del os.environ[SOCKET]
    sys.path[0], sys.argv[1:] = request["folder"], request["arguments"]
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]


def _leave(status: Sequence[int]) -> None:
    """End this process with status[0] now: Python would take a second to take down what was imported."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status[0])


if __name__ == "__main__":
    status = [1]
    atexit.register(_leave, status)  # the first one is called last, when all that stages use has ended
    serve(sys.argv[1], sys.argv[2:])
    from tasks import runner

    try:
        runner.main()
        status[0] = 0
    except SystemExit as ended:
        status[0] = ended.code & 0xFF if isinstance(ended.code, int) else int(ended.code is not None)
        raise
