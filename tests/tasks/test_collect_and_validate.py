"""Collect and validate as a user starts them: from params.yaml to the catalog, or one line per fault."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from depth_model.errors import UserError
from depth_model.reading import collecting
from depth_model.shards import manifest, rasters
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard
from tasks.commands import data_docs
from tasks.gate.data_docs import FOLDER
from tasks.gate.suites import ANNOTATED, SAMPLE_SUITES, SOURCE_SUITES
from tasks.settings import params, presets
from tests.tasks.starting import start


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """A collected project: labeled `one` and `two` (5 pairs each), unlabeled `photographs` (1 good, 1 bad)."""
    generator = np.random.default_rng(0)
    content = presets.content(repository / "presets" / "demo.yaml")
    content |= {"finetune_metric": {}, "evaluate_metric": {}}
    content |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    options = {"color": "c*.png", "depth": "d*.png", "unit": 1000}
    content["sources"] = {
        "labeled": {name: {"reader": "rgbd_folder", "root": name, "options": options} for name in ("two", "one")},
        "unlabeled": {
            name: {"reader": "image_folder", "root": name, "minimum_count": 0} for name in ("photographs", "nothing")
        },
        "evaluation": {},
        "metric": {},
        "semantic": {},
    }
    content["collect"] = {"max_side": 100, "minimum_side": 8, "decode_budget": "1 GB", "samples_per_shard": 2}
    content["machine"]["collect"]["workers"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.fromarray(generator.integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(
                tmp_path / name / f"c{number}.png"
            )
            depth = generator.integers(1, 9000, (20, 30)).astype(np.uint16)
            Image.fromarray(depth).save(tmp_path / name / f"d{number}.png")
    (tmp_path / "photographs").mkdir()
    (tmp_path / "nothing").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "photographs" / "good.png")
    (tmp_path / "photographs" / "bad.png").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    start("inventory")
    for role in ("labeled", "unlabeled"):
        for name in content["sources"][role]:
            start(f"collect_{role}@{name}")
    return tmp_path


def catalog(project, role):
    return json.loads((project / "data" / "catalog" / f"{role}.json").read_text())


def add_sky(project, name):
    source = SourceFolder(project / "data" / "labeled" / name)
    for shard, rows in source.shards():
        masks = [rasters.encode_mask(np.zeros((20, 30), bool))] * len(rows)
        write_sidecar_shard(
            project / "work" / name, source, shard, "sky.png", masks, {"sky_fraction": [0.0] * len(rows)}
        )
    join_sidecar(project / "work" / name, project / "data" / "sky" / name, source)


def test_the_catalog_lists_sources_in_the_order_of_params(project, monkeypatch):
    for role in ("labeled", "unlabeled", "evaluation"):
        start(f"validate@{role}")
    assert list(catalog(project, "labeled")) == ["two", "one"]
    assert catalog(project, "evaluation") == {}
    folder = project / "data" / "unlabeled" / "photographs"
    assert catalog(project, "unlabeled")["photographs"] == {
        "manifest_sha256": hashlib.sha256((folder / "manifest.parquet").read_bytes()).hexdigest(),
        "samples": 1,
        "quarantined": 1,
        "bytes": next(folder.glob("*.tar")).stat().st_size,
    }
    assert len(SamplePool(project / "data", "labeled", catalog(project, "labeled"))) == 10


def test_data_docs_have_two_pages_for_each_role_that_is_collected(project, monkeypatch):
    data_docs.data_docs(argparse.Namespace(role=[]))
    names = {f"{role}-{what}.html" for role in ("labeled", "unlabeled") for what in ("sources", "samples")}
    assert {path.name for path in (project / FOLDER).iterdir()} == names | {"index.html"}
    index = (project / FOLDER / "index.html").read_text()
    assert all(f"href='{name}'" in index for name in names)
    with pytest.raises(UserError, match="labels: no such role"):
        data_docs.data_docs(argparse.Namespace(role=["labels"]))


def test_sidecars_have_catalogs_too(project, monkeypatch):
    add_sky(project, "one")
    with pytest.raises(UserError, match=r"data/sky/two/sidecar\.parquet is not there"):
        start("validate_sky")
    add_sky(project, "two")
    start("validate_sky")
    found = catalog(project, "sky")
    assert list(found) == ["two", "one"]
    digest = hashlib.sha256((project / "data" / "sky" / "one" / "sidecar.parquet").read_bytes()).hexdigest()
    assert (found["one"]["sidecar_sha256"], found["one"]["samples"]) == (digest, 5)
    assert SamplePool(project / "data", "labeled", found, "sky").load(3).sky.shape == (20, 30)


def test_an_empty_source_has_an_empty_place_in_the_catalog_of_its_sidecar(project, monkeypatch):
    for name in ("photographs", "nothing"):
        source = SourceFolder(project / "data" / "unlabeled" / name)
        scratch = project / f"scratch-{name}"
        scratch.mkdir()
        for shard, rows in source.shards():
            label = rasters.encode_quantized(np.ones((20, 30), np.float32), 14)
            columns = {"minimum": [1.0] * len(rows), "maximum": [1.0] * len(rows)}
            write_sidecar_shard(scratch, source, shard, "target.dar", [label] * len(rows), columns)
        join_sidecar(scratch, project / "data" / "pseudo" / name, source)
    start("validate_pseudo")
    assert [entry["samples"] for entry in catalog(project, "pseudo").values()] == [1, 0]


def test_a_sidecar_of_another_source_does_not_pass(project, monkeypatch):
    add_sky(project, "one")
    shutil.copytree(project / "data" / "sky" / "one", project / "data" / "sky" / "two")
    start("validate_sky")  # the same keys: 0 to 4
    (project / "one" / "c4.png").unlink()
    start("inventory")
    start("collect_labeled@one")
    with pytest.raises(UserError, match=r"the keys are those of the annotated source.*one"):
        start("validate_sky")


def test_what_lies_in_the_folder_but_not_in_params_is_not_read(project, monkeypatch):
    shutil.copytree(project / "data" / "labeled" / "one", project / "data" / "labeled" / "old")
    start("validate@labeled")
    assert list(catalog(project, "labeled")) == ["two", "one"]


def test_too_few_samples_and_lost_shards_are_named(project, monkeypatch):
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("minimum_count: 0", "minimum_count: 2"))
    start("inventory")
    with pytest.raises(UserError) as caught:
        start("validate@unlabeled")
    assert "at least minimum_count samples" in str(caught.value)
    assert "photographs (samples = 1, minimum_count = 2)" in str(caught.value)
    shard = next((project / "data" / "labeled" / "two").glob("*.tar"))
    content = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"every shard is there.*two \(damaged_shards = 1\)"):
        start("validate@labeled")
    assert not (project / "data" / "catalog").exists()


def test_a_key_that_stands_twice_in_a_manifest_is_named(project, monkeypatch):
    path = project / "data" / "labeled" / "one" / "manifest.parquet"
    table = manifest.read_table(path)
    keys = table["key"].to_pylist()
    table = table.set_column(0, manifest.MANIFEST_SCHEMA.field(0), [[*keys[:-1], keys[0]]])
    manifest.write_table(path, [table], manifest.MANIFEST_SCHEMA, manifest.metadata(path))
    with pytest.raises(UserError, match=r"stands once in its source; not so for 1 of 10: one/0 "):
        start("validate@labeled")


def test_collecting_again_changes_nothing_and_a_new_picture_only_its_source(project, monkeypatch):
    folder = project / "data" / "unlabeled" / "photographs"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    start("collect_unlabeled@photographs")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    Image.new("RGB", (30, 20), "red").save(project / "photographs" / "red.png")
    start("inventory")
    start("collect_unlabeled@photographs")
    assert pq.read_table(folder / "manifest.parquet")["source_path"].to_pylist() == ["good.png", "red.png"]


def test_one_more_picture_makes_only_its_own_shard_again(project, monkeypatch):
    folder = project / "photographs"
    for number in range(40):
        Image.new("RGB", (30, 20), (number, 0, 0)).save(folder / f"p{number:02d}.png")
    start("inventory")
    start("collect_unlabeled@photographs")
    read = []
    original = collecting._read
    monkeypatch.setattr(collecting, "_read", lambda item, rules: (read.append(item.key), original(item, rules))[1])
    Image.new("RGB", (30, 20), "red").save(folder / "p20b.png")
    start("inventory")
    start("collect_unlabeled@photographs")
    assert "p20b" in read
    assert len(read) <= 8  # of 42, in shards of one or two
    again = {path.name: path.read_bytes() for path in (project / "data" / "unlabeled" / "photographs").iterdir()}
    shutil.rmtree(project / ".work")
    start("collect_unlabeled@photographs")
    fresh = {path.name: path.read_bytes() for path in (project / "data" / "unlabeled" / "photographs").iterdir()}
    assert again == fresh


def test_collecting_an_unknown_source_lists_those_there_are(project, monkeypatch):
    with pytest.raises(UserError, match=r"dvc\.yaml: collect_labeled@three: "):
        start("collect_labeled@three")


def test_every_role_has_its_suites():
    assert SAMPLE_SUITES.keys() == SOURCE_SUITES.keys() == {*params.ROLES, *ANNOTATED}


def write_expectation(project, **changed):
    one = {"says": "the mean height is 30 pixels", "type": "expect_column_mean_to_be_between"}
    one |= {"arguments": {"column": "height", "min_value": 30, "max_value": 30}} | changed
    (project / "expectations.yaml").write_text(yaml.safe_dump({"labeled": [one], "unlabeled": []}))


def test_an_expectation_of_the_user_holds_or_stops_the_gate(project, monkeypatch):
    rows = {"column": "source_path", "regex": "^c[0-3]"}
    says = "files are numbered 0 to 3"
    write_expectation(project, says=says, type="expect_column_values_to_match_regex", arguments=rows)
    with pytest.raises(UserError, match=r"numbered 0 to 3; not so for 2 of 10: two/4 .*one/4 "):
        start("validate@labeled")
    start("validate@unlabeled")
    write_expectation(project)
    with pytest.raises(UserError, match=r"labeled: expected that the mean height is 30 pixels; observed 20"):
        start("validate@labeled")
    write_expectation(project, arguments={"column": "height", "min_value": 20, "max_value": 20})
    start("validate@labeled")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"typ": "x"}, r"labeled\.0\.typ: Extra inputs"),
        ({"arguments": {"column": "hight", "min_value": 1}}, r"labeled/two has no column hight"),
        ({"type": "expect_miracles"}, r"'the mean height is 30 pixels': expect_miracles"),
        ({"arguments": {"column": "height", "least": 1}}, r"expect_column_mean_to_be_between.*least"),
    ],
)
def test_a_wrong_expectation_of_the_user_is_named(project, monkeypatch, changed, line):
    write_expectation(project, **changed)
    with pytest.raises(UserError, match=rf"expectations\.yaml: .*{line}|expectations\.yaml: {line}"):
        start("validate@labeled")
    (project / "expectations.yaml").write_text("labels: []")
    with pytest.raises(UserError, match="labels: no such role"):
        start("validate@labeled")
