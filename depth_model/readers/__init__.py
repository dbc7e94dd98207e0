"""The readers by name: one file per data set, each with a `READER`.

Adding a data set is adding a file here; nothing is registered anywhere else.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from depth_model.reading.reader import Reader


def names() -> list[str]:
    """Return the names of all readers, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def get(name: str) -> Reader:
    """Return the reader `name`; raises KeyError that lists the names there are."""
    if name not in names():
        raise KeyError(f"no reader {name!r}; there are: {', '.join(names())}")
    return import_module(f"{__name__}.{name}").READER
