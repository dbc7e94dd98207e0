"""A SIGTERM ends what runs, wherever it comes."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tasks.tracking.termination import termination_raises


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class Terminating:
    """Is terminated in a callback, whose exceptions Python ignores."""

    def __del__(self):
        terminate()


@pytest.mark.parametrize("come", [terminate, Terminating])
def test_it_raises_and_shows_nothing(capsys, come):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised, termination_raises():
        come()
        begun = time.process_time()
        while time.process_time() - begun < 10:
            continue
    assert raised.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGTERM) == before
