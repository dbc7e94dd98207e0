"""Stage `export@<name>`: a part of the rendered world in the layout of a real data set, for its own reader."""

from __future__ import annotations

import argparse

from depth_model.world import export, generator_version
from tasks import entry
from tasks.settings import params
from tasks.workspace.work import Workplace, produce


def _build(place: Workplace, name: str, wanted: params.Export) -> None:
    from depth_model.progress import progress_bar

    with progress_bar(f"export {name}", sum(wanted.counts.values()), "images") as bar:
        export.export_world(
            export.get(wanted.layout),
            wanted.domain,
            wanted.counts,
            wanted.seed,
            (wanted.height, wanted.width),
            place.result / "set",
            bar.update,
        )


def main() -> None:
    """Write the data set that the command line names to `data/exported/<name>`."""
    parser = argparse.ArgumentParser(prog="python -m tasks.export", description=__doc__)
    parser.add_argument("name", help="a name below `export` in params.yaml")
    name = parser.parse_args().name
    wanted = params.load().section("export", name)
    produce(
        f"export@{name}",
        inputs={"export": wanted.model_dump(), "generator": generator_version(wanted.domain)},
        outs={"set": params.EXPORTED / name},
        build=lambda place: _build(place, name, wanted),
    )


if __name__ == "__main__":
    entry.run(main)
