"""The transformers library, an optional extra: imported only where a part of it is built."""

from __future__ import annotations

import importlib
from typing import Any

from depth_model.errors import UserError


def transformers_module(name: str, purpose: str, remedy: str) -> Any:
    """Return the module `transformers.models.<name>`.

    Raises UserError, which says that `purpose` needs the library, and what to do instead (`remedy`).
    """
    try:
        return importlib.import_module(f"transformers.models.{name}")
    except ImportError as error:
        raise UserError(
            f"{purpose} needs the library transformers: pip install 'open-depth-anything[semantic]', or {remedy}"
        ) from error
