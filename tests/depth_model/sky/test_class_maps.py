"""Class maps of a source from its labels, from a folder, and from a model beside transformers' own post-processing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.reading.collecting import collect_source
from depth_model.shards import rasters
from depth_model.shards.source import SidecarFolder, SourceFolder
from depth_model.sky import class_maps
from depth_model.sky.class_maps import ClassMapping, map_source
from depth_model.sky.transformers_segmenter import load_class_segmenter


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder, reader = tmp_path_factory.mktemp("maps"), readers.get("rendered_world")
    options = reader.options(domain="hills", count=5, seed=4, height=48, width=64)
    collect = {"max_side": 256, "minimum_side": 8, "samples_per_shard": 2, "workers": 1}
    collect_source(reader, folder, options, folder / "scratch", folder / "hills", **collect)
    return SourceFolder(folder / "hills")


def mapped(source, segmenter, folder, **options):
    map_source(source, ClassMapping(str(segmenter)), folder / "s", folder / "r", lambda images: None, **options)
    return SidecarFolder(folder / "r")


def test_the_labels_of_the_data_set(source, tmp_path):
    found = mapped(source, "labels", tmp_path)
    for index in range(5):
        np.testing.assert_array_equal(rasters.decode_labels(found.member(index)), source.semantic(index))
    assert found.sidecar["largest"].tolist() == [int(source.semantic(index).max()) for index in range(5)]


def test_maps_made_elsewhere_are_found_by_key_and_a_missing_one_is_named(source, tmp_path):
    stored = tmp_path / "maps"
    for index in range(5):
        path = stored / f"{source.key(index)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8), index, np.uint8)).save(path)
    assert mapped(source, stored, tmp_path).sidecar["largest"].tolist() == [0, 1, 2, 3, 4]
    path.unlink()
    with pytest.raises(BadInput, match=rf"hills/{source.key(4)}: .* holds no"):
        mapped(source, stored, tmp_path / "again")


def test_a_model_of_transformers_names_its_most_probable_class(tmp_path):
    from tests.depth_model.sky.test_transformers_segmenter import IMAGE, segformer

    transformers = pytest.importorskip("transformers")
    segformer(tmp_path)
    found = load_class_segmenter(str(tmp_path), torch.device("cpu"))(IMAGE)
    processor = transformers.SegformerImageProcessor.from_pretrained(tmp_path)
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path)
    with torch.inference_mode():
        outputs = model(**processor(images=IMAGE, return_tensors="pt"))
    wanted = processor.post_process_semantic_segmentation(outputs, target_sizes=[IMAGE.shape[:2]])[0]
    np.testing.assert_array_equal(found, wanted.numpy())


def test_a_killed_run_goes_on_with_the_missing_shards(source, tmp_path, monkeypatch):
    seen = []

    def fails_at_the_fourth(image):
        seen.append(None)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return np.zeros(image.shape[:2], np.uint8)

    monkeypatch.setattr(class_maps, "_segmenter", lambda name, device: fails_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        mapped(source, "a model", tmp_path)
    assert mapped(source, "a model", tmp_path).sidecar["largest"].tolist() == [0] * 5
    assert len(seen) == 4 + 3  # the first shard of two is not made again
