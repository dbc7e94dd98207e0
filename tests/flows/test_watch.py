"""A source that grows is told of once, when copying into it is over."""

from __future__ import annotations

import pytest
import yaml
from PIL import Image

from flows.watch import Watch
from tasks.inventory import write_inventory
from tasks.settings import params
from tasks.workspace.paths import inventory_path


@pytest.fixture
def photographs(toy):
    """The folder of the only source of the toy project."""
    content = yaml.safe_load((toy / "params.yaml").read_text())
    content["sources"]["unlabeled"] = {"album": {"reader": "image_folder", "root": "album", "minimum_count": 0}}
    (toy / "params.yaml").write_text(yaml.safe_dump(content))
    folder = toy / "album"
    folder.mkdir()
    return folder


def add(folder, name):
    Image.new("RGB", (64, 48)).save(folder / name)


def listed_by_the_pipeline():
    source = params.load().sources.unlabeled["album"]
    watched = params.readers.get(source.reader).watch(params.source_root(source), source.chosen_options())
    write_inventory(inventory_path("unlabeled", "album"), watched)


def test_it_tells_once_what_the_pipeline_has_not_listed(photographs):
    watch = Watch()
    add(photographs, "a.png")
    assert watch.changed() == []  # it may still grow
    add(photographs, "b.png")
    assert watch.changed() == []
    assert watch.changed() == [("unlabeled", "album")]
    assert watch.changed() == []
    listed_by_the_pipeline()
    assert watch.changed() == []
    add(photographs, "c.png")
    assert [watch.changed() for _ in range(3)] == [[], [("unlabeled", "album")], []]


def test_what_the_pipeline_knows_and_what_cannot_be_read_is_no_news(photographs):
    add(photographs, "a.png")
    listed_by_the_pipeline()
    watch = Watch()
    assert [watch.changed() for _ in range(3)] == [[], [], []]
    (photographs / "a.png").unlink()
    photographs.rmdir()
    assert [watch.changed() for _ in range(3)] == [[], [], []]
