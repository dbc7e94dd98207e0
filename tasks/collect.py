"""Stages `collect_<role>@<name>`: one source into shards, manifest and quarantine."""

from __future__ import annotations

from depth_model import files
from tasks.settings import params
from tasks.workspace import parts
from tasks.workspace.paths import inventory_path
from tasks.workspace.work import Workplace


def run(workplace: Workplace, settings: params.Params) -> None:
    """Collect a source into `data/<role>/<name>`; shards of earlier collections are used again."""
    from depth_model import readers
    from depth_model.progress import progress_bar
    from depth_model.reading.collecting import collect_source

    role = workplace.stage.partition("@")[0].removeprefix("collect_")
    source = settings.source(role, workplace.key)
    reader, root, options = readers.get(source.reader), params.source_root(source), source.chosen_options()
    with progress_bar(f"collect {role}/{workplace.key}", None, "images") as bar:

        def progress(kept: int, refused: int, total: int) -> None:
            if bar.total is None:
                bar.reset(total)  # the time that remains counts from here, where all is listed
            bar.set_postfix(quarantined=refused, refresh=False)
            bar.update(kept + refused - bar.n)

        collect_source(
            reader,
            root,
            options,
            workplace.scratch,
            workplace.out(),
            **vars(settings.collect),
            **vars(settings.machine.collect),
            store=settings.data.root,
            content=files.sha256(inventory_path(role, workplace.key)),
            earlier=[part for folder in workplace.earlier() for part in (folder / parts.PARTS, folder / "scratch")],
            labels=source.kept_labels if role == "unlabeled" else True,
            progress=progress,
        )
    parts.keep(workplace)
