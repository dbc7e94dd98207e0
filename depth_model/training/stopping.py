"""How a training is stopped from outside: by a signal, or because whatever started its processes is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch import distributed

_ONE_KEYPRESS = 1.0
"""Seconds within which a second SIGINT is the same: the terminal sends one, torchrun passes it on."""


class Stop:
    """What was asked of this process: `number` of the signal, 0 for none."""

    def __init__(self) -> None:
        self.number = 0
        self._time = 0.0
        self._parent = os.getppid()

    def note(self, number: int, frame: object = None) -> None:
        """Take in a signal. Raises KeyboardInterrupt when SIGINT is repeated by someone who will not wait."""
        again = number == signal.SIGINT == self.number and time.monotonic() - self._time > _ONE_KEYPRESS
        self.number = self.number or number
        self._time = self._time or time.monotonic()
        if again:
            raise KeyboardInterrupt

    def asked(self) -> int:
        """Return the number of the signal noted; SIGTERM when torchrun, which would have passed one on, is gone."""
        if not self.number and distributed.is_torchelastic_launched() and os.getppid() != self._parent:
            self.number = signal.SIGTERM
        return self.number


@contextmanager
def noted_signals() -> Iterator[Stop]:
    """Yield what SIGINT and SIGTERM ask for; they do not interrupt."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(number: int) -> None:
    """End as a process does that the signal `number` stopped: KeyboardInterrupt for SIGINT, else SystemExit."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
