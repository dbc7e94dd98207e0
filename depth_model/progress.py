"""Progress with the time that remains: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import io
import sys

from tqdm import tqdm

_SECONDS_PER_LINE = 10.0
_LINE = "{desc}: {n_fmt} of {total_fmt}{unit} ({percentage:.0f} %), {rate_fmt}, {remaining} left{postfix}"


class _Lines(io.TextIOBase):
    """Writes what tqdm would draw over itself as lines of their own."""

    def write(self, text: str) -> int:
        if text.strip():
            print(text.strip(), file=sys.stderr, flush=True)
        return len(text)


def progress_bar(description: str, total: int | None, unit: str, done: int = 0, shown: bool = True) -> tqdm:
    """Return a tqdm over `total` units of which `done` are finished, drawn on stderr if `shown`; a context manager.

    A total that is not known yet is None.
    """
    common = {"desc": description, "total": total, "unit": f" {unit}", "initial": done, "disable": not shown}
    if sys.stderr.isatty():
        return tqdm(**common, dynamic_ncols=True)
    return tqdm(**common, file=_Lines(), mininterval=_SECONDS_PER_LINE, miniters=1, bar_format=_LINE)
