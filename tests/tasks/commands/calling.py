"""How tests call the command, in their own process."""

from __future__ import annotations

from tasks.commands import main


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", *map(str, arguments)])
    main.main()
