"""What every reader keeps to, as functions of (reader, root, layout): the contract that test_contract.py runs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from depth_model.errors import BadInput
from depth_model.reading import collecting
from depth_model.reading.reader import Reader
from depth_model.shards import manifest
from depth_model.shards.images import decode_rgb
from depth_model.shards.sample import TARGET_KINDS, check_key
from tasks.settings import params

from .layouts import ANY, Layout


def chosen(reader, layout):
    """The options as params.yaml gives them: through YAML, checked for their types."""
    options = yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(layout.options))))
    return params.Source(reader=reader.name, root="somewhere", options=options).chosen_options()


def documentation_is_complete(reader: Reader, root: Path, layout: Layout) -> None:
    missing = [
        name for name in ("layout", "description", "license", "images", "where", "paper") if not getattr(reader, name)
    ]
    if any(target is not None for target in layout.targets.values()):
        missing += [name for name in ("unit", "invalid") if not getattr(reader, name)]
    assert not missing, f"the generated page needs {', '.join(missing)} of reader {reader.name}"
    assert reader.options.__doc__, "options are documented by the docstring of their class"


def keys_are_good_and_stable(reader: Reader, root: Path, layout: Layout) -> None:
    options = chosen(reader, layout)
    items = list(reader.listed(root, options))
    keys = [item.key for item in items]
    assert set(keys) == set(layout.targets) | set(layout.refused)
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert "." not in check_key(key), "a dot ends the key in a shard"
    assert list(reader.listed(root, options)) == items
    moved = root.with_name("moved")
    shutil.copytree(root, moved)
    assert list(reader.listed(moved, options)) == items, "the place of the root must not matter"
    shutil.rmtree(moved)
    assert pickle.loads(pickle.dumps((reader, items)))[1] == items, "shards are read in other processes"


def listing_is_lazy(reader: Reader, root: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda *given: (opened.append(given), scandir(*given))[1])
    listing = reader.items(root, chosen(reader, layout))
    assert not isinstance(listing, (list, tuple, set, dict))
    assert iter(listing) is iter(listing), "an iterator, not a collection"
    assert not opened, "nothing is read before the first item is asked for"
    assert next(listing) == next(reader.items(root, chosen(reader, layout)))


def samples_are_as_written(reader: Reader, root: Path, layout: Layout) -> None:
    options = chosen(reader, layout)
    for item in reader.listed(root, options):
        if item.key in layout.refused:
            continue
        sample = reader.load(root, item, options)
        assert sample.key == item.key
        assert not os.path.isabs(sample.source_path)
        shape = decode_rgb(sample.image).shape[:2]
        expected = layout.targets[item.key]
        check_target(sample, shape, expected, layout.kind)
        if sample.semantic is not None:
            assert sample.semantic.shape == shape
            assert sample.semantic.dtype.kind in "ui"
        if item.key in layout.semantic:
            assert np.array_equal(sample.semantic, layout.semantic[item.key])
        if sample.intrinsics is not None:
            assert len(sample.intrinsics) == 4
            assert np.isfinite(sample.intrinsics).all()
            assert min(sample.intrinsics[:2]) > 0


def check_target(sample, shape, expected, kind):
    if expected is None:
        assert sample.target is None
        return
    assert sample.target_kind in TARGET_KINDS
    assert sample.target_kind == kind or kind is None
    assert sample.target.dtype == np.float32
    assert sample.target.shape == shape
    assert not np.isinf(sample.target).any(), "no label is NaN"
    if expected is not ANY:
        np.testing.assert_array_equal(sample.target, expected)


def bad_samples_are_refused(reader: Reader, root: Path, layout: Layout) -> None:
    refused = {}
    kept = [
        sample.key
        for sample in reader(
            root, on_rejected=lambda item, why: refused.update({item.key: why}), **vars(chosen(reader, layout))
        )
    ]
    assert set(kept) == set(layout.targets)
    assert set(refused) == set(layout.refused)
    for key, reason in layout.refused.items():
        assert reason in refused[key]
        assert str(root) not in refused[key], "the quarantine has the same bytes wherever the data lie"
        assert "\n" not in refused[key]


def everything_is_collected_or_quarantined(reader: Reader, root: Path, layout: Layout, tmp_path: Path) -> None:
    settings = {"max_side": 4096, "minimum_side": 1, "samples_per_shard": 2, "workers": 1}
    collecting.collect_source(reader, root, chosen(reader, layout), tmp_path / "scratch", tmp_path / "done", **settings)
    found = {
        name: list(manifest.read_frame(tmp_path / "done" / name)["key"])
        for name in (manifest.MANIFEST, manifest.QUARANTINE)
    }
    assert set(found[manifest.MANIFEST]) == set(layout.targets)
    assert set(found[manifest.QUARANTINE]) == set(layout.refused)


def changes_are_watched(reader: Reader, root: Path, layout: Layout) -> None:
    options = chosen(reader, layout)
    entries = json.loads(json.dumps(list(reader.watch(root, options))))
    assert entries
    assert json.loads(json.dumps(list(reader.watch(root, options)))) == entries


def an_incomplete_root_is_explained(reader: Reader, root: Path, layout: Layout, tmp_path: Path) -> None:
    if not reader.needs_root:
        return
    options = chosen(reader, layout)
    with pytest.raises(BadInput, match="there is no folder") as caught:
        next(reader.listed(tmp_path / "nowhere", options))
    assert reader.where in str(caught.value)
    for pattern in reader.expected(options):
        half = tmp_path / "half"
        shutil.copytree(root, half)
        for alternative in pattern.split(" | "):
            for path in list(half.glob(alternative)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with pytest.raises(BadInput) as caught:
            next(reader.listed(half, options))
        message = str(caught.value)
        assert f"no {pattern.replace(' | ', ' or ')}" in message
        assert "found: " in message
        assert reader.where in message
        assert "\n" not in message
        shutil.rmtree(half)


CHECKS = {
    check.__name__: check
    for check in (
        documentation_is_complete,
        keys_are_good_and_stable,
        listing_is_lazy,
        samples_are_as_written,
        bad_samples_are_refused,
        everything_is_collected_or_quarantined,
        changes_are_watched,
        an_incomplete_root_is_explained,
    )
}
