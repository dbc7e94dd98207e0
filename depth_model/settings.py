"""What a setting is: a field of a plain dataclass with a default, a range and a word on its meaning and unit.

The dataclasses stand beside the code that they configure, free of torch; params.yaml is checked against them, and its
comments are written from what `setting` says (`tasks.settings`). A range is part of the type.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

DOC = "doc"
"""Key of a field's metadata: the comment that params.yaml shows beside the value."""

Positive = Annotated[int, Gt(0)]
NotNegative = Annotated[int, Ge(0)]
PositiveNumber = Annotated[float, Gt(0), Lt(math.inf)]
NotNegativeNumber = Annotated[float, Ge(0), Lt(math.inf)]
Probability = Annotated[float, Ge(0), Le(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Precision = Literal["fp32", "bf16"]
Engine = Literal["local", "ray"]
Space = Literal["disparity", "depth", "metric_depth"]
"""What predictions are: disparity or depth, both of unknown scale and shift, or meters."""


def setting(doc: str = "", default: Any = MISSING, *, factory: Any = MISSING) -> Any:
    """Return a dataclass field that params.yaml must hold, with the comment `doc`; what a type says need not be in it.

    Without `default` and `factory` (which makes one) a preset has to give it.
    """
    return field(default=default, default_factory=factory, metadata={DOC: doc})
