"""`python -m tasks STAGE`: the runner, in a copy of the preloaded process where one is offered, else here."""

from __future__ import annotations

import sys

from tasks.workspace import preloaded

if __name__ == "__main__":
    if (code := preloaded.hand_over(sys.argv[1:])) is not None:
        sys.exit(code)
    from tasks import runner  # after the question: it imports what a handed over stage does not need

    runner.main()
