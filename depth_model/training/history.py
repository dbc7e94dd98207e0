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

SKIPPED = "skipped_batches"
"""The last column."""


class History:
    """Rows of averages over `every` steps: the number of finished steps, a value per term, and how many batches the
    interval skipped, which have no part in the averages. An interval that skipped all of its batches has no row.

    `measured` holds the figures of validation by the step after which they were taken; `kept` is the step whose
    weights became the model, None for the last one."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.columns: list[str] = []
        self.rows: list[list[float]] = []
        self.measured: dict[int, dict[str, float]] = {}
        self.kept: int | None = None
        self._sums: list[float] = []
        self._skipped = 0
        self._taken = 0

    def add(self, finished: int, terms: Mapping[str, float] | None) -> bool:
        """Take in the terms of the step that makes `finished` steps, None if it was skipped; True for a new row.

        Raises ValueError when the names differ from those of the steps before.
        """
        if terms is None:
            self._skipped += 1
        else:
            self._sum(terms)
        if finished % self.every or not self._taken:
            return False
        self.rows.append([finished, *(total / self._taken for total in self._sums), float(self._skipped)])
        self._sums, self._taken, self._skipped = [], 0, 0
        return True

    def _sum(self, terms: Mapping[str, float]) -> None:
        if not self.columns:
            self.columns = [*terms, SKIPPED]
        if self.columns != [*terms, SKIPPED]:
            raise ValueError(f"terms of the loss changed from {self.columns[:-1]} to {list(terms)}")
        sums = self._sums or [0.0] * len(terms)
        self._sums = [total + value for total, value in zip(sums, terms.values(), strict=True)]
        self._taken += 1

    def last_row(self) -> dict[str, float]:
        """Return the terms of the last complete row by name."""
        return dict(zip(self.columns, self.rows[-1][1:], strict=True))

    def recent(self, term: str, count: int) -> float:
        """Return the mean of `term` over the last `count` rows up to the step that is kept, or over all when there are
        fewer; NaN if none."""
        column = self.columns.index(term) + 1 if self.rows else 0
        # The first row saw the weights of step 0.
        rows = [row for row in self.rows if self.kept is None or row[0] <= self.kept] or self.rows[:1]
        values = [row[column] for row in rows[-count:]]
        return sum(values) / len(values) if values else math.nan

    def write(self, path: Path) -> None:
        """Write the rows as CSV with the columns step, one per term and one per figure of validation, which are empty
        where there was none."""
        averages = {int(step): values for step, *values in self.rows}
        figures = {step: list(found.values()) for step, found in self.measured.items()}
        names = list(next(iter(self.measured.values()), {}))
        lines = [",".join(["step", *self.columns, *names])]
        for step in sorted({*averages, *figures}):
            cells = [averages.get(step, [""] * len(self.columns)), figures.get(step, [""] * len(names))]
            lines.append(",".join([str(step), *(str(value) for part in cells for value in part)]))
        files.write_text(path, "\n".join(lines) + "\n")

    def state(self) -> dict[str, Any]:
        """Return the whole state in plain lists and numbers."""
        names = ("every", "columns", "rows", "measured", "_sums", "_taken", "_skipped")
        return {name.strip("_"): getattr(self, name) for name in names}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> History:
        """Return the history whose `state()` this was."""
        history = cls(state["every"])
        history.columns, history.rows, history._sums = state["columns"], state["rows"], state["sums"]
        history._taken, history._skipped = state["taken"], state["skipped"]
        history.measured = state.get("measured", {})  # which older checkpoints lack
        return history
