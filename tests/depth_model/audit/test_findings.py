"""The audit on a collection with planted leaks and repetitions: all of them are named, and nothing else."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from depth_model.audit import findings
from depth_model.audit.settings import AuditRules
from depth_model.readers import scikit_image
from depth_model.world import render_sample

RULES = AuditRules()

CROP = (30, 20, 560, 380)
BLACK = Image.new("RGB", (9, 9))


def world(domain, index):
    return Image.fromarray(render_sample(domain, 5, index, 96, 128).image)


@pytest.fixture(scope="module")
def photographs():
    read = scikit_image.READER(subset="photographs")
    return {sample.key: Image.open(io.BytesIO(sample.image)).convert("RGB") for sample in read}


@pytest.fixture
def collections(tmp_path, collect, photographs):
    """Labeled `two`, `one`, unlabeled `wild`, evaluation `test`, with everything that the tests look for."""
    coffee, chelsea, rocket = (photographs[key] for key in ("coffee", "chelsea", "rocket"))
    content = {
        "labeled/two": {"a.png": world("rooms", 0), "b.png": world("rooms", 1), "crop.png": coffee.crop(CROP)},
        "labeled/one": {"again.png": world("rooms", 0), "c.png": world("rooms", 2), "flat.png": BLACK},
        "unlabeled/wild": {
            "small.jpg": world("rooms", 1).resize((96, 72)),
            "mirror.png": ImageOps.mirror(world("rooms", 2)),
            "flat.png": Image.new("RGB", (64, 64), (1, 1, 1)),
            "mirrored.jpg": ImageOps.mirror(chelsea.crop((0, 0, 400, 270))),
            "alone.png": world("hills", 0),
        },
        "evaluation/test": {"coffee.png": coffee, "chelsea.png": chelsea, "rocket.png": rocket},
    }  # fmt: skip
    for name, pictures in content.items():
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for file, picture in pictures.items():
            picture.save(folder / file, quality=60)
        collect("image_folder", folder, f"data/{name}", f"scratch/{name}")
    catalogs = {"labeled": {"two": {}, "one": {}}, "unlabeled": {"wild": {}}, "evaluation": {"test": {}}}
    data = tmp_path / "data"
    return (
        findings.Collection(data, catalogs, findings.TRAINING),
        findings.Collection(data, catalogs, findings.EVALUATION),
        lambda **changed: findings.Collection(data, catalogs | changed, findings.EVALUATION),
    )


def rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def test_planted_leaks_and_repetitions_are_all_named_and_nothing_else(collections):
    training, evaluation, _ = collections
    found = findings.audit(training, evaluation, RULES)
    labeled = rows(findings.exclusions(found, training, evaluation, "labeled"))
    unlabeled = rows(findings.exclusions(found, training, evaluation, "unlabeled"))
    assert [row[:5] for row in labeled] == [
        ("one", "again", "exact_duplicate", "labeled/two", "a"),
        ("two", "crop", "leak", "evaluation/test", "coffee"),
    ]
    assert [row[:5] for row in unlabeled] == [
        ("wild", "mirror", "near_duplicate", "labeled/one", "c"),
        ("wild", "mirrored", "leak", "evaluation/test", "chelsea"),
        ("wild", "small", "near_duplicate", "labeled/two", "b"),
    ]
    assert labeled[0][5] == 0
    assert all(row[5] <= RULES.leak_distance for row in labeled + unlabeled)
    named = [tuple(one.values()) for one in findings.between(found, training, evaluation)]
    assert ("unlabeled/wild", "evaluation/test", "leak", 1) in named and len(named) == 5
    assert ("labeled/one", "labeled/two", "exact_duplicate", 1) in named
    found = findings.counts(found, training)
    assert found["unlabeled/wild"] == {"images": 5, "leak": 1, "exact_duplicate": 0, "near_duplicate": 2}


def test_another_evaluation_set_without_a_leak_changes_nothing(collections, collect, tmp_path, photographs):
    training, evaluation, changed = collections
    (tmp_path / "more").mkdir()
    photographs["astronaut"].save(tmp_path / "more" / "astronaut.png")
    collect("image_folder", tmp_path / "more", "data/evaluation/more", "scratch/more")
    more = changed(evaluation={"more": {}, "test": {}})
    for role in findings.TRAINING:
        before = findings.exclusions(findings.audit(training, evaluation, RULES), training, evaluation, role)
        assert findings.exclusions(findings.audit(training, more, RULES), training, more, role).equals(before)


def test_a_repetition_of_a_leak_is_a_leak_and_the_identical_file_is_named(tmp_path, collect, photographs):
    for name in ("labeled/one", "unlabeled/two", "evaluation/test"):
        (tmp_path / name).mkdir(parents=True)
        photographs["camera"].save(tmp_path / name / "same.png")
        collect("image_folder", tmp_path / name, f"data/{name}", f"scratch/{name}")
    catalogs = {"labeled": {"one": {}}, "unlabeled": {"two": {}}, "evaluation": {"test": {}}}
    training, evaluation = (
        findings.Collection(tmp_path / "data", catalogs, roles) for roles in (findings.TRAINING, findings.EVALUATION)
    )
    pairs = findings.audit(training, evaluation, RULES).pairs
    assert [(pair.row, pair.reason, pair.distance, pair.correlation) for pair in pairs] == [
        (0, "leak", 0, 1.0),
        (1, "leak", 0, 1.0),
    ]


def test_pixels_refute_what_only_looks_alike_to_fingerprints(collections):
    training, evaluation, _ = collections
    strict = dataclasses.replace(RULES, leak_correlation=1.0, duplicate_correlation=1.0)
    found = findings.audit(training, evaluation, strict)
    keys = [training.key(pair.row) for pair in found.pairs]
    assert keys == ["again", "mirror"]  # the same bytes; the same pixels, mirrored
    assert found.refuted_leaks == 2
    assert found.refuted_duplicates == 1


def test_nothing_to_compare_is_no_finding(tmp_path):
    empty = findings.Collection(tmp_path, {}, findings.TRAINING)
    found = findings.audit(empty, empty, RULES)
    assert found.pairs == []
    assert findings.exclusions(found, empty, empty, "labeled").num_rows == 0


def test_every_image_is_of_the_collection_it_is_numbered_in(collections):
    training, _, _ = collections
    assert [training.place(row)[1] for row in range(len(training))] == ["two"] * 3 + ["one"] * 3 + ["wild"] * 5
    assert training.key(4) == "c"
    assert np.array_equal(training.image(4), np.asarray(world("rooms", 2)))
