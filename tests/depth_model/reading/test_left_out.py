"""Nothing below a root is left out in silence: inputs = manifest + quarantine, whatever lies there."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from depth_model.errors import BadInput
from depth_model.readers import get
from depth_model.reading.collecting import collect_source
from depth_model.reading.inputs import path_below
from depth_model.reading.reader import files_below
from depth_model.shards import manifest
from depth_model.shards.folder import Folder, LinkedRoot


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(value).integers(0, 256, (24, 32, 3), np.uint8)).save(path, "PNG")


def collected(tmp_path, name="image_folder", **options):
    """Return (paths in the manifest, {path in the quarantine: reason}) of tmp_path/root."""
    reader, result = get(name), tmp_path / "result"
    chosen = reader.options(**options)
    limits = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 50, "workers": 1}
    collect_source(reader, tmp_path / "root", chosen, tmp_path / "scratch", result, **limits)
    refused = manifest.read_frame(result / manifest.QUARANTINE)
    kept = sorted(manifest.read_frame(result / manifest.MANIFEST)["source_path"])
    return kept, dict(zip(refused["source_path"], refused["reason"], strict=True))


@pytest.fixture
def linked(tmp_path):
    """A root with every kind of link and file."""
    root = tmp_path / "root"
    picture(root / "scene1/a.png", 1)
    picture(tmp_path / "store/scene2/b.png", 2)
    picture(tmp_path / "store/blob", 3)
    (root / "scene2").symlink_to(tmp_path / "store/scene2")
    (root / "hub.png").symlink_to(tmp_path / "store/blob")
    (root / "within.png").symlink_to("scene1/a.png")
    (root / "again").symlink_to("scene1")
    (root / "above").symlink_to("..")
    (root / "gone.png").symlink_to(".git/annex/objects/gone.png")
    (root / "pointer.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")
    (root / "notes.txt").write_text("text")
    (root / ".hidden").write_text("text")
    os.mkfifo(root / "pipe.png")
    return root


REFUSED = {
    "again": "read elsewhere",
    "above": "read elsewhere, or that holds this one",
    "gone.png": "dangling link",
    "pointer.png": "git lfs pull",
    "notes.txt": "fits no pattern",
    "pipe.png": "a pipe",
}


def test_links_and_strange_files_are_named(tmp_path, linked):
    kept, refused = collected(tmp_path)
    assert kept == ["scene1/a.png", "within.png"]
    expected = REFUSED | {"scene2": "follow_links: true", "hub.png": "follow_links: true"}
    assert refused.keys() == expected.keys()
    for path, reason in expected.items():
        assert reason in refused[path], path


def test_links_out_of_the_root_are_read_when_asked_for(tmp_path, linked):
    kept, refused = collected(tmp_path, follow_links=True)
    assert kept == ["hub.png", "scene1/a.png", "scene2/b.png", "within.png"]
    assert refused.keys() == REFUSED.keys()


def test_a_name_never_leads_out_even_where_links_may(tmp_path, linked):
    for relative in ("../store/blob", "scene1/../../store/blob", "/etc/passwd"):
        with pytest.raises(BadInput, match="out of the root"):
            path_below(LinkedRoot(linked), relative)


def test_links_in_circles_end(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        picture(tmp_path / name / "x.png")
        (tmp_path / name / "link").symlink_to(tmp_path / other)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    found = [path for path, _, reason in Folder(LinkedRoot(tmp_path / "a")).everything() if not reason]
    assert found == ["x.png", "link/x.png"]


def test_what_is_not_read_is_watched(linked):
    before = list(files_below(linked))
    assert {entry["path"] for entry in before if "left_out" in entry} >= {"scene2", "again", "gone.png", "pipe.png"}
    (linked / "gone.png").unlink()
    assert list(files_below(linked)) != before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    picture(tmp_path / "root/a.png")
    picture(tmp_path / "root/closed/b.png")
    (tmp_path / "root/closed").chmod(0)
    kept, refused = collected(tmp_path)
    (tmp_path / "root/closed").chmod(0o700)
    assert kept == ["a.png"]
    assert "cannot be read" in refused["closed"]


def test_pictures_of_phones_and_others_are_read(tmp_path):
    import pillow_heif

    pillow_heif.register_heif_opener()
    colors = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), 8, 0), 8, 1)
    root = tmp_path / "root"
    root.mkdir()
    kinds = {"a.heic": "HEIF", "b.avif": "AVIF", "c.gif": "GIF", "d.jp2": "JPEG2000", "e.ppm": "PPM", "f.HEIC": "HEIF"}
    for name, kind in kinds.items():
        Image.fromarray(colors).save(root / name, format=kind)
    kept, refused = collected(tmp_path)
    assert kept == sorted(kinds)
    assert refused == {}


def test_members_of_other_names_count_in_archives_of_ones_own(tmp_path):
    import zipfile

    picture(tmp_path / "a.png")
    (tmp_path / "root").mkdir()
    with zipfile.ZipFile(tmp_path / "root/a.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "deep/a.png")
        archive.writestr("readme.md", "text")
    (tmp_path / "root/readme.md").write_text("text")
    kept, refused = collected(tmp_path, "image_archives")
    assert kept == ["a.zip/deep/a.png"]
    assert set(refused) == {"a.zip/readme.md", "readme.md"}


def pair(root, color, depth):
    picture(root / color)
    (root / depth).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(1, 9000, (24, 32)).astype(np.uint16)).save(root / depth)


def test_two_stars_stand_for_any_folders(tmp_path):
    root = tmp_path / "root"
    for scene in ("", "room/", "house/floor/"):
        pair(root, f"{scene}rgb/0.png", f"{scene}depth/0.png")
    kept, refused = collected(tmp_path, "rgbd_folder", color="**/rgb/*.png", depth="**/depth/*.png", unit=1000)
    assert kept == ["house/floor/rgb/0.png", "rgb/0.png", "room/rgb/0.png"]
    assert refused == {}
    keys = manifest.read_frame(tmp_path / "result" / manifest.MANIFEST)["key"]
    assert sorted(keys) == ["0", "house/floor/0", "room/0"]


def test_wildcards_that_do_not_agree_are_refused():
    for color, depth in (("**/rgb/*.png", "depth/*.png"), ("*/rgb/*.png", "**/depth/*.png")):
        with pytest.raises(ValueError, match="same number of wildcards"):
            get("rgbd_folder").options(color=color, depth=depth, unit=1)


def test_pairs_whose_names_differ_in_case_or_accents_only(tmp_path):
    root = tmp_path / "root"
    pair(root, "rgb/0.PNG", "depth/0.png")
    pair(root, "rgb/1.png", "depth/1.PNG")
    pair(root, "rgb/ku\u0308che.png", "depth/k\u00fcche.png")
    kept, refused = collected(tmp_path, "rgbd_folder", color="rgb/*.png", depth="depth/*.png", unit=1000)
    assert len(kept) == 3
    assert refused == {}


def test_color_and_depth_in_one_folder(tmp_path):
    root = tmp_path / "root"
    pair(root, "0.png", "0_depth.png")
    pair(root, "1.png", "1_depth.png")
    kept, refused = collected(tmp_path, "rgbd_folder", color="*.png", depth="*_depth.png", unit=1000)
    assert kept == ["0.png", "1.png"]
    assert refused == {}


def test_pairs_that_are_none_are_named(tmp_path):
    pair(tmp_path / "root", "rgb/7.png", "depth/000007.png")
    (tmp_path / "root/rgb.txt").write_text("")
    kept, refused = collected(tmp_path, "rgbd_folder", color="rgb/*.png", depth="depth/*.png", unit=1000)
    assert kept == []
    assert set(refused) == {"rgb/7.png", "depth/000007.png", "rgb.txt"}
