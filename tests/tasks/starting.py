"""How tests run a stage in their own process."""

from __future__ import annotations

import sys


def start(monkeypatch, stage, *arguments):
    """Run the module `stage` as its command line with `arguments` would."""
    monkeypatch.setattr(sys, "argv", [stage.__name__, *arguments])
    stage.main()
