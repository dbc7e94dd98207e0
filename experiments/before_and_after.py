"""The tiny pipeline at another commit and as it is here, and what differs: what continuous integration runs.

    python -m experiments.before_and_after main --out comparison

Both runs are made in clones of this repository, by its own commits: what is not committed does not count. Each runs the
code of its clone, with the packages that are installed here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from depth_model.errors import UserError
from depth_model.shown import run_command

TINY = Path("tests/pipeline/tiny.yaml")


def run_at(commit: str, folder: Path) -> None:
    """Clone this repository into `folder` at `commit` and run its tiny pipeline there.

    Raises UserError for a commit that is not there, and when the pipeline fails.
    """
    _call("git", "clone", "--quiet", "--no-checkout", os.curdir, str(folder))
    _call("git", "-C", str(folder), "checkout", "--quiet", "--detach", commit)
    shutil.copy2(folder / TINY, folder / "params.yaml")
    _call(sys.executable, "-m", "tasks.commands.main", "repro", folder=folder)


def _call(*command: str, folder: Path | None = None) -> None:
    scripts = str(Path(sys.executable).parent)
    variables = os.environ | {"PATH": scripts + os.pathsep + os.environ.get("PATH", os.defpath)}
    if folder:
        variables["PYTHONPATH"] = str(folder)  # before the repository that is installed
    if code := subprocess.run(command, cwd=folder, env=variables, check=False).returncode:
        raise UserError(f"{' '.join(command)} ended with {code}")


def commit_of(name: str) -> str:
    """Return the commit that `name` means here; raises UserError when there is none."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise UserError(f"{name}: there is no such commit here; fetch it first")
    return found.stdout.strip()


def compare(base: str, out: Path) -> None:
    """Run at `base` and at HEAD and write the comparison to `out`."""
    before, after = commit_of(base), commit_of("HEAD")
    with tempfile.TemporaryDirectory() as folder:
        for commit, name in ((before, "before"), (after, "after")):
            run_at(commit, Path(folder, name))
        _call(
            sys.executable,
            "-m",
            "tasks.commands.main",
            "changes",
            f"{folder}/before",
            f"{folder}/after",
            "-o",
            str(out),
        )


def main() -> None:
    """Compare with the commit of the command line."""
    parser = argparse.ArgumentParser(description="What the changes since a commit do to the figures.")
    parser.add_argument("base", help="a commit, branch or tag")
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="folder for the comparison")
    given = parser.parse_args()
    compare(given.base, given.out)


if __name__ == "__main__":
    run_command(main)
