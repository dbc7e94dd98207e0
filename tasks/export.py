"""Stage `export@<name>`: a part of the rendered world in the layout of a real data set, for its own reader."""

from __future__ import annotations

from tasks.settings import params
from tasks.workspace.work import Workplace


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write a data set to `data/exported/<name>`."""
    from depth_model.progress import progress_bar
    from depth_model.world import export

    wanted = settings.section("export", workplace.key)
    with progress_bar(f"export {workplace.key}", sum(wanted.counts.values()), "images") as bar:
        export.export_world(
            export.get(wanted.layout),
            wanted.domain,
            wanted.counts,
            wanted.seed,
            (wanted.height, wanted.width),
            workplace.out(),
            bar.update,
            settings.machine.collect.workers,
        )
