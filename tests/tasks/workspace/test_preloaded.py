"""Stages as copies of a preloaded process: they must be as the process that asks, in all that can be seen of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.workspace import preloaded
from tests.processes import lives, wait_for

REPOSITORY = Path(__file__).resolve().parents[3]
ASK = (
    "import os, sys; from tasks.workspace import preloaded; os.chdir(sys.argv[1]); "
    "code = preloaded.hand_over(sys.argv[2:]); sys.exit(99 if code is None else code)"
)
"""As `python -m tasks`, in a folder that has a runner of its own."""
ENDED_WHILE_ASKING = (
    "import os, signal, socket; send = socket.send_fds; "
    "socket.send_fds = lambda *given: (send(*given), os.kill(os.getpid(), signal.SIGTERM)); "
)


@pytest.fixture
def runner(tmp_path):
    """Write the text of `main` of the runner in the folder of the project."""

    def written(text):
        (tmp_path / "tasks").mkdir(exist_ok=True)
        (tmp_path / "tasks" / "__init__.py").touch()
        (tmp_path / "tasks" / "runner.py").write_text(f"import os, signal, sys, time\ndef main():\n    {text}\n")

    return written


@pytest.fixture
def ask(tmp_path):
    """Start a process that hands a stage over, in the folder of the project."""
    with preloaded.offered(libraries=("wave", "no_such_library")) as path:
        wait_for(lambda: os.path.exists(path), 60)
        given = os.environ | {"PYTHONPATH": str(REPOSITORY), "ONLY": "the asking process has it"}

        def asked(*arguments, before=""):
            command = [sys.executable, "-c", before + ASK, str(tmp_path), *arguments]
            return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        yield asked


def test_a_copy_is_as_the_process_that_asks(runner, ask, tmp_path):
    runner("print(sys.argv[1:], os.getcwd(), os.environ['ONLY'], 'wave' in sys.modules); sys.exit('to stderr')")
    process = ask("stage@key", "--more")
    said, errors = process.communicate(timeout=60)
    assert said == f"['stage@key', '--more'] {tmp_path} the asking process has it True\n"
    assert (errors, process.returncode) == ("to stderr\n", 1)


def test_a_stage_runs_the_code_that_is_there_when_it_starts(runner, ask):
    for number in (3, 14):  # another length: within a second Python tells files apart by it
        runner(f"sys.exit({number})")
        assert ask().wait(60) == number


def test_a_copy_does_not_ask_again(runner, ask):
    runner("from sys import exit; exit(int('OPEN_DEPTH_PRELOADED' in os.environ))")
    assert ask().wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_stage_which_ends_in_its_own_way(runner, ask, tmp_path, number):
    runner(
        f"signal.signal({int(number)}, lambda *_: (time.sleep(0.2), open('ended', 'w').close(), sys.exit(7)));"
        " open('runs', 'w').close(); time.sleep(60)"
    )
    process = ask()
    wait_for((tmp_path / "runs").exists, 60)
    process.send_signal(number)
    assert process.wait(60) == 7
    assert (tmp_path / "ended").exists()


def test_a_signal_in_the_middle_of_the_request_ends_the_stage(runner, ask):
    runner("time.sleep(60)")
    process = ask(before=ENDED_WHILE_ASKING)
    said, errors = process.communicate(timeout=60)
    assert (said, errors, process.returncode) == ("", "", 128 + signal.SIGTERM)


def test_who_is_killed_before_it_has_asked_leaves_no_trace():
    script = (
        "import os, socket; from tasks.workspace import preloaded; from tests.processes import wait_for\n"
        "with preloaded.offered(()) as path:\n"
        "    wait_for(lambda: os.path.exists(path), 60)\n"
        "    for said in (b'', b'.', b'.{\"argu'):\n"
        "        with socket.socket(socket.AF_UNIX) as one:\n"
        "            one.connect(path), one.sendall(said), one.shutdown(socket.SHUT_WR), one.recv(1)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("struck", ["asking", "stage"])
def test_killed_on_one_side_it_ends_on_both(runner, ask, tmp_path, struck):
    runner("open('pid.new', 'w').write(str(os.getpid())); os.rename('pid.new', 'pid'); time.sleep(60)")
    process = ask()
    wait_for((tmp_path / "pid").exists, 60)
    stage = int((tmp_path / "pid").read_text())
    os.kill(process.pid if struck == "asking" else stage, signal.SIGKILL)
    assert process.wait(60) == (-9 if struck == "asking" else 128 + 9)
    wait_for(lambda: not lives(stage), 60)


def test_without_an_offer_nothing_is_handed_over(monkeypatch, tmp_path):
    monkeypatch.delenv(preloaded.SOCKET, raising=False)
    assert preloaded.hand_over(["stage"]) is None
    monkeypatch.setenv(preloaded.SOCKET, str(tmp_path / "gone"))
    assert preloaded.hand_over(["stage"]) is None


def test_it_ends_with_the_process_that_offers_it():
    script = (
        "import os, time; from tasks.workspace import preloaded\n"
        "with preloaded.offered(()) as path: print(path, flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        path = process.stdout.readline().strip()
        wait_for(lambda: os.path.exists(path), 60)
        (server,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    wait_for(lambda: not lives(int(server)), 60)


def test_what_a_stage_wants_done_at_its_end_is_done(runner, ask, tmp_path):
    runner(
        "import atexit, threading; atexit.register(open, 'at_exit', 'w'); "
        "threading.Thread(target=lambda: (time.sleep(0.3), open('by_thread', 'w').close())).start(); "
        "print('no newline at the end', end='')"
    )
    process = ask()
    assert process.communicate(timeout=60)[0] == "no newline at the end"
    assert process.returncode == 0
    assert (tmp_path / "at_exit").exists()
    assert (tmp_path / "by_thread").exists()


def test_an_error_of_the_stage_is_shown_and_ends_it_with_1(runner, ask):
    runner("raise ValueError('of the stage')")
    process = ask()
    assert "ValueError: of the stage" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
