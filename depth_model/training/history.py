"""The course of a training run: what the loss terms were, averaged over equal numbers of steps.

Part of every checkpoint, so that a run which was killed and resumed leaves the same file as one that was not.
Holds no times, for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depth_model import files


class History:
    """Rows of averages over `every` steps; each row is the number of finished steps and a value per term."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.columns: list[str] = []
        self.rows: list[list[float]] = []
        self._sums: list[float] = []

    def add(self, finished: int, terms: Mapping[str, float]) -> bool:
        """Take in the terms of the step that makes `finished` steps; True when this completes a row.

        Raises ValueError when the names differ from those of the steps before.
        """
        if not self.columns:
            self.columns = list(terms)
        if self.columns != list(terms):
            raise ValueError(f"terms of the loss changed from {self.columns} to {list(terms)}")
        sums = self._sums or [0.0] * len(terms)
        self._sums = [total + value for total, value in zip(sums, terms.values(), strict=True)]
        if finished % self.every:
            return False
        self.rows.append([finished, *(total / self.every for total in self._sums)])
        self._sums = []
        return True

    def last_row(self) -> dict[str, float]:
        """Return the terms of the last complete row by name."""
        return dict(zip(self.columns, self.rows[-1][1:], strict=True))

    def recent(self, term: str, count: int) -> float:
        """Return the mean of `term` over the last `count` rows, or over all when there are fewer; NaN if none."""
        column = self.columns.index(term) + 1 if self.rows else 0
        values = [row[column] for row in self.rows[-count:]]
        return sum(values) / len(values) if values else math.nan

    def write(self, path: Path) -> None:
        """Write the rows as CSV with the columns step and one per term."""
        lines = [",".join(["step", *self.columns])]
        lines += [",".join([str(int(step)), *map(repr, values)]) for step, *values in self.rows]
        files.write_text(path, "\n".join(lines) + "\n")

    def state(self) -> dict[str, Any]:
        """Return the whole state in plain lists and numbers."""
        return {"every": self.every, "columns": self.columns, "rows": self.rows, "sums": self._sums}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> History:
        """Return the history whose `state()` this was."""
        history = cls(state["every"])
        history.columns, history.rows, history._sums = state["columns"], state["rows"], state["sums"]
        return history
