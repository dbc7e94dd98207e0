"""SIGTERM as an exception, so that what has begun is closed; what is done then is not decided here."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN_SECONDS = 0.05


@contextmanager
def termination_raises() -> Iterator[None]:
    """Raise SystemExit in the main thread when SIGTERM comes.

    Python ignores what is raised in some of its callbacks, as at the end of an import; a signal that comes there is
    raised again after a moment of the processor's time.
    """

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    def ignored(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is SystemExit:
            signal.setitimer(signal.ITIMER_VIRTUAL, AGAIN_SECONDS)
        else:
            hook(what)

    hook, sys.unraisablehook = sys.unraisablehook, ignored
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGVTALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
