"""The one family of errors that a user can mend: the message says what is wrong and what to do, a line per fault.

Whoever starts work for a user catches `UserError` and prints its lines; any other exception is a fault of the software
and keeps its traceback. A class of its own is for what some code tells apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something that a user can mend."""


class CanPass(UserError):
    """Something outside of this machine that may be well again later, such as a store that does not answer."""


CAN_PASS = 75
"""The exit status of a command that CanPass ended: EX_TEMPFAIL of sysexits.h."""


class BadInput(UserError, ValueError):
    """One input that cannot be used; the message is the reason written to the quarantine."""


@contextmanager
def named(where: str, *also: type[Exception]) -> Iterator[None]:
    """Put `where`, such as the option or the key of params.yaml that the work within is for, before its UserErrors.

    Exceptions of the types `also` become UserErrors: what a wrong value causes here, and a fault elsewhere.
    """
    try:
        yield
    except UserError as error:
        raise type(error)(f"{where}: {error}") from error
    except also as error:
        raise UserError(f"{where}: {error}") from error
