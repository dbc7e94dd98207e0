"""What is held out: whole scenes, by seed and name alone, and nothing that looks like what is learned from."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.audit.findings import Collection
from depth_model.audit.held_out import Choice, counts, drawn_scenes, held_out, scenes, share_for
from depth_model.errors import UserError
from depth_model.reading.collecting import collect_source
from depth_model.shards import manifest
from depth_model.shards.pool import HELD_OUT, SamplePool

LIMITS = {"max_side": 256, "minimum_side": 8, "samples_per_shard": 4, "workers": 1}
OPTIONS = {"color": "*/*.jpg", "depth": "*/*.png", "unit": 1000.0}
SCENES, FRAMES = 12, 2


def paths(*levels):
    """Paths of two frames in each of so many folders, level below level."""
    found = [""]
    for level, count in enumerate(levels):
        found = [f"{path}{'abc'[level]}{number}/" for path in found for number in range(count)]
    return [f"{path}{frame}.png" for path in found for frame in range(2)]


@pytest.mark.parametrize(
    "levels, fraction, scene",
    [((10, 3), 0.1, "a0"), ((3, 4), 0.1, "a0/b0"), ((3, 4), 0.34, "a0"), ((3, 3), 0.1, None), ((), 0.5, None)],
)
def test_a_scene_is_the_coarsest_folder_of_which_there_are_enough(levels, fraction, scene):
    named = paths(*levels)
    keys = [f"key{number}" for number in range(len(named))]
    found = scenes(keys, named, fraction)
    assert found[0] == (scene or "key0")
    assert found == keys if scene is None else len(set(found)) >= 1 / fraction


def test_what_is_drawn_depends_on_seed_and_names_alone():
    names = [f"scene{number}" for number in range(400)]
    drawn = drawn_scenes(names, "rooms", Choice(0.1, 3))
    assert 20 <= len(drawn) <= 60
    assert drawn_scenes(names[::-1], "rooms", Choice(0.1, 3)) == drawn
    assert drawn_scenes([*names, *(f"more{number}" for number in range(400))], "rooms", Choice(0.1, 3)) >= drawn
    assert drawn_scenes(names, "rooms", Choice(0.2, 3)) > drawn
    assert drawn_scenes(names, "rooms", Choice(0.1, 4)) != drawn != drawn_scenes(names, "streets", Choice(0.1, 3))


@pytest.mark.parametrize("seed", range(5))
def test_of_few_images_as_many_are_held_out_as_are_wanted(seed):
    names = [f"frame{number}" for number in range(41)]
    fraction, count = share_for(names, names, "labels", seed, 20)
    assert count == len(drawn_scenes(set(names), "labels", Choice(fraction, seed))) == 20
    several = paths(3, 20)
    fraction, count = share_for(several, several, "labels", seed, 25)
    assert abs(count - 25) <= 5 and 0.1 <= fraction < 1


def test_at_least_one_scene_is_held_out_and_never_all():
    for seed in range(20):
        assert len(drawn_scenes(["a", "b"], "rooms", Choice(0.01, seed))) == 1
        assert len(drawn_scenes(["a", "b"], "rooms", Choice(0.99, seed))) == 1
    assert drawn_scenes(["a"], "rooms", Choice(0.5, 0)) == set()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """data/labeled/rooms: twelve scenes of two frames, of which the first frames of all show one picture."""
    folder = tmp_path_factory.mktemp("rooms")
    world = list(readers.get("rendered_world")(domain="rooms", count=1 + SCENES, seed=4, height=96, width=128))
    for scene in range(SCENES):
        (folder / "root" / f"scene{scene}").mkdir(parents=True)
        for frame, sample in enumerate((world[0], world[1 + scene])):
            image = folder / "root" / f"scene{scene}" / f"{frame}"
            picture = Image.open(io.BytesIO(sample.image)).convert("RGB")
            picture.save(image.with_suffix(".jpg"), quality=70 + scene)
            depth = np.clip(np.nan_to_num(sample.target, nan=0.0) * 1000, 0, 60000)
            Image.fromarray(depth.astype(np.uint16)).save(image.with_suffix(".png"))
    reader = readers.get("rgbd_folder")
    for name, kind in (("rooms", "metric_depth"), ("unscaled", "affine_disparity")):
        options = reader.options(**OPTIONS, target_kind=kind)
        result = folder / "data" / "labeled" / name
        collect_source(reader, folder / "root", options, folder / f"scratch-{name}", result, **LIMITS)
    return folder / "data"


def images(data, *names):
    return Collection(data, {"labeled": dict.fromkeys(names)}, ("labeled",))


def table(data, choice, distance=6, excluded=(), names=("rooms",)):
    found = images(data, *names)
    rows = np.zeros(len(found), bool)
    rows[list(excluded)] = True
    return held_out(found, "labeled", choice, rows, distance)


def test_scenes_are_held_out_whole_and_near_duplicates_count_nowhere(data):
    by_scene = {}
    for row in table(data, Choice(0.25, 1)).to_pylist():
        scene, frame = row["key"].split("/")
        by_scene.setdefault(scene, {})[frame] = row["reason"]
    assert 1 <= len(by_scene) < SCENES
    assert all(one == {"0": "near_duplicate", "1": HELD_OUT} for one in by_scene.values())
    assert counts(table(data, Choice(0.25, 1)), "labeled") == {
        "labeled/rooms": {HELD_OUT: len(by_scene), "near_duplicate": len(by_scene)}
    }


def test_a_list_of_nothing_is_one(data):
    assert table(data, Choice(0.0, 1)).num_rows == 0
    assert counts(table(data, Choice(0.0, 1)), "labeled") == {}


def test_what_is_excluded_is_not_held_out(data):
    keys = {row["key"] for row in table(data, Choice(0.25, 1)).to_pylist()}
    found = images(data, "rooms")
    rows = [row for row in range(len(found)) if found.key(row) in keys]
    assert table(data, Choice(0.25, 1), excluded=rows).num_rows == 0


def test_a_source_is_held_out_whole_and_one_that_cannot_be_measured_never(data):
    found = table(data, Choice(0.25, 1), names=("rooms", "unscaled"))
    assert set(found["source"].to_pylist()) == {"rooms"}
    with pytest.raises(UserError, match=r"validation.sources: unscaled has images without depth"):
        table(data, Choice(0.0, 1, ("unscaled",)), names=("rooms", "unscaled"))
    whole = table(data, Choice(0.0, 1, ("rooms",)))
    assert set(whole["reason"].to_pylist()) == {HELD_OUT} and whole.num_rows == SCENES * FRAMES


def test_the_pools_share_no_sample_and_miss_none_but_those_that_count_nowhere(data, tmp_path):
    found, path = table(data, Choice(0.25, 1)), tmp_path / "labeled.parquet"
    manifest.write_table(path, [found], found.schema, {})
    catalog = {"rooms": {"samples": SCENES * FRAMES}}
    learned, measured = (
        SamplePool(data, "labeled", catalog, held_out=path, validation=validation) for validation in (False, True)
    )
    keys = [{pool.load(number).key for number in range(len(pool))} for pool in (learned, measured)]
    assert not keys[0] & keys[1]
    assert keys[1] == {row["key"] for row in found.to_pylist() if row["reason"] == HELD_OUT}
    assert len(learned) == SCENES * FRAMES - found.num_rows
