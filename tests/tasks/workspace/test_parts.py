"""Labels of shards that were there before are used again, and only those."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from depth_model.shards import manifest
from tasks.workspace import parts, work
from tasks.workspace.entry import Entry

SOURCE = Path("data/unlabeled/hills")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def label(shards, teacher="one", code="1"):
    """Run a stage that labels `shards` (name -> content); return the names of those that it had to make."""
    listed = [{"name": f"shard-{name}.tar", "sha256": content} for name, content in shards.items()]
    schema = pa.schema([("key", pa.string())])
    manifest.write_table(SOURCE / manifest.MANIFEST, [schema.empty_table()], schema, {"shards": listed})
    made = []

    def build(workplace):
        parts.take_over(workplace, SOURCE)
        for name in shards:
            table = workplace.scratch / f"shard-{name}.parquet"
            if not table.exists():
                made.append(name)
                (workplace.scratch / f"shard-{name}.tar").write_text(f"labels of {name} by {teacher}")
                table.write_text(name)
        parts.keep(workplace)
        workplace.out().mkdir()

    data = {str(SOURCE): str(shards), "models/teacher": teacher}
    entry = Entry("pseudo_label@hills", {"pseudo_label": {}}, data, {"tasks/x.py": code}, ("data/pseudo/hills",))
    work.produce(entry, build)
    return made


def test_only_new_shards_are_labeled_when_a_source_grows():
    assert label({"a": "1", "b": "2"}) == ["a", "b"]
    assert label({"a": "1", "b": "2", "c": "3"}) == ["c"]
    assert label({"b": "2", "c": "3", "d": "4"}) == ["d"]
    (kept,) = Path(".work").glob("*/*/parts/shard-b.tar")
    assert kept.read_text() == "labels of b by one"


@pytest.mark.parametrize("other", [{"teacher": "two"}, {"code": "2"}])
def test_another_teacher_or_other_code_labels_all_anew(other):
    label({"a": "1"})
    assert label({"a": "1", "b": "2"}, **other) == ["a", "b"]


def test_a_shard_of_the_same_name_with_other_content_is_labeled_anew():
    label({"a": "1", "b": "2"})
    assert label({"a": "other", "b": "2"}) == ["a"]
