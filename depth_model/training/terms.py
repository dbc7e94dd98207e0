"""The terms of a loss: each is one value that knows its name, its weight and over how many samples it is a mean.

A run lists them once (`loop.Run.terms`); what the loop minimizes, averages over the shares of a batch and reports
follows from that list. What a term is computed from, the `output`, is whatever the run's `forward` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from depth_model.training.batches import Batch

Samples = Callable[[Batch], Tensor | float]
"""Over how many samples of a share of a batch a mean is."""


@dataclass(frozen=True)
class Term:
    """What a step gives under `name`.

    `value` maps an output to a scalar: a mean over the `samples` of the share, or, with `samples` None, a number of
    things, which is added up over the shares. The loss takes `weight` times it; 0: it is only watched.
    """

    name: str
    value: Callable[[Any], Tensor]
    samples: Samples | None
    weight: float = 0.0


def values(terms: Sequence[Term], output: Any) -> dict[str, Tensor]:
    """Return the value of every term by its name, in their order."""
    return {term.name: term.value(output) for term in terms}


def weighted_sum(terms: Sequence[Term], found: dict[str, Tensor]) -> Tensor:
    """Return the loss: the sum of the values `found` of the terms that have a weight, weighted."""
    return sum(term.weight * found[term.name] for term in terms if term.weight)
