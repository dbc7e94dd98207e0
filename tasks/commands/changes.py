"""`depth-anything changes`: what a change of code or parameters does to the figures, for the comment on it.

Continuous integration runs the pipeline before and after a change; this compares what the two runs left.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from depth_model import files
from depth_model.errors import UserError
from tasks.commands.outputs import add_out
from tasks.commands.shared import purpose

EVALUATION = Path("reports/evaluation")
FIGURES = {"relative": ("abs_rel", "delta1"), "metric": ("abs_rel", "rmse", "delta1"), "semantic": ("miou",)}
HIGHER_IS_BETTER = ("delta1", "miou")
EXAMPLES = "examples.png"


class Change(NamedTuple):
    """One figure of one model on one set; None where the run has none."""

    where: str
    model: str
    metric: str
    before: float | None
    after: float | None

    def said(self) -> str:
        """Return what has become of the figure: better, worse, same, new or gone."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        if self.before == self.after:
            return "same"
        return "better" if (self.after > self.before) == (self.metric in HIGHER_IS_BETTER) else "worse"

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        return self.where, self.model, self.metric, _number(self.before), _number(self.after), self.said()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("changes", help="figures and pictures of two runs, compared", description=purpose(run))
    one.add_argument("before", type=Path, help="the folder of the project in which the pipeline ran before the change")
    one.add_argument("after", type=Path, help="that in which it ran after it")
    one.add_argument(
        "--pictures", default="", metavar="URL", help="address at which the pictures will lie, for links in the comment"
    )
    add_out(one, "folder for comment.md and the pictures", "before", "after")
    one.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Compare what the pipeline left in two folders: comment.md with every figure that changed, and for each evaluation
    set a picture with the examples of before above those of after.

    Raises UserError for a folder in which the pipeline has evaluated nothing.
    """
    found = list(changes(evaluations(given.before), evaluations(given.after)))
    given.out.mkdir(parents=True, exist_ok=True)
    pictures = list(write_pictures(given.before, given.after, given.out))
    files.write_text(given.out / "comment.md", comment(found, pictures, given.pictures))
    print((given.out / "comment.md").read_text(encoding="utf-8"), end="")


def evaluations(project: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return kind/set -> model -> metric -> value of the last run in a folder."""
    paths = sorted((project / EVALUATION).glob("*/*.json"))
    found = {f"{path.parent.name}/{path.stem}": _models(path) for path in paths if path.parent.name in FIGURES}
    if not any(found.values()):
        raise UserError(f"{project / EVALUATION}: no evaluation lies there; run 'dvc repro' in {project} first")
    return found


def _models(path: Path) -> dict[str, dict[str, float]]:
    try:
        models: dict[str, Any] = files.read_json(path)["models"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no evaluation of the pipeline ({error})") from error
    return {name: {metric: value for metric, value in one.items()} for name, one in models.items()}


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """Yield every figure that a reader looks at, of every model but the constant, in the order of `after`."""
    for where in [*after, *(one for one in before if one not in after)]:
        old, new = before.get(where, {}), after.get(where, {})
        for model in [*new, *(one for one in old if one not in new)]:
            for metric in FIGURES[where.partition("/")[0]]:
                figures = old.get(model, {}).get(metric), new.get(model, {}).get(metric)
                if model != "constant" and figures != (None, None):
                    yield Change(where, model, metric, *figures)


def comment(found: list[Change], pictures: list[str], address: str) -> str:
    """Return the comment in Markdown; `pictures` are names at `address`, listed without one."""
    changed = [one for one in found if one.said() != "same"]
    lines = [f"**Figures of the pipeline**: {len(changed)} of {len(found)} changed."]
    if changed:
        lines += ["", "| set | model | metric | before | after | |", "| --- | --- | --- | ---: | ---: | --- |"]
        lines += [f"| {' | '.join(one.cells())} |" for one in changed]
    for name in pictures:
        title = name.removesuffix(".png")
        shown = f"![{title}]({address.rstrip('/')}/{name})" if address else f"`{name}`"
        lines += ["", f"{title}, before above after: {shown}"]
    return "\n".join(lines) + "\n"


def write_pictures(before: Path, after: Path, out: Path) -> Iterator[str]:
    """Write and yield a picture for each set whose examples changed: those of `before` above those of `after`."""
    for new in sorted((after / EVALUATION).glob(f"*/*/{EXAMPLES}")):
        place = new.relative_to(after)
        old = before / place
        if old.exists() and old.read_bytes() != new.read_bytes():
            name = f"{place.parts[-3]}-{place.parts[-2]}.png"
            files.write_bytes(out / name, stacked(old, new))
            yield name


def stacked(first: Path, second: Path) -> bytes:
    """Return a PNG with one picture above another, on white."""
    import numpy as np

    from depth_model.media.pictures import png
    from depth_model.shards.images import decode_rgb

    pair = [decode_rgb(path.read_bytes()) for path in (first, second)]
    width = max(one.shape[1] for one in pair)
    white = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=255) for one in pair]
    return png(np.concatenate(white))
