"""The one family of errors that a user can mend: the message says what is wrong and what to do, a line per fault.

Whoever starts work for a user catches `UserError` and prints its lines; any other exception is a fault of the software
and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something that a user can mend."""


class BadInput(UserError, ValueError):
    """One input that cannot be used; the message is the reason written to the quarantine."""
