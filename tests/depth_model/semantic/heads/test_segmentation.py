import json
import sys

import pytest
import torch
from torch.nn import functional

from depth_model.errors import UserError
from depth_model.networks import BadCheckpoint, build_encoder
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings

SMALL = Mask2FormerSettings(32, 5, 2, 1, 1, 48, 16)


def _model(head, seed=0):
    return Segmentation(build_encoder("tiny", seed=seed), class_lists()["cityscapes"], head, 28, seed)


@pytest.mark.parametrize("head", ["linear", SMALL])
def test_a_saved_model_comes_back_with_its_classes_and_scores(head, tmp_path):
    model = _model(head).eval()
    model.save(tmp_path / "model")
    again = Segmentation.load(tmp_path / "model").eval()
    images = torch.randn(2, 3, 42, 56)
    with torch.no_grad():
        assert model(images).shape == (2, 19, 42, 56)
        assert torch.equal(model(images), again(images))
    assert (again.classes, again.side) == (class_lists()["cityscapes"], 28)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["classes"][10] == "sky" and config["palette"][10] == [70, 130, 180]
    again.save(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_linear_head_is_one_matrix_on_the_tokens_of_the_last_four_blocks():
    model, images = _model("linear").eval(), torch.randn(1, 3, 28, 42)
    with torch.no_grad():
        tokens = torch.cat(model.encoder(images, (0, 1, 2, 3)), dim=-1)
        weight = model.head.classifier.weight.flatten(1)
        logits = (tokens @ weight.T + model.head.classifier.bias).transpose(1, 2).unflatten(2, (2, 3))
        wanted = functional.interpolate(logits, size=(28, 42), mode="bilinear", align_corners=False)
        assert torch.allclose(model(images), wanted, atol=1e-5)


def test_what_is_no_segmentation_model_is_refused(tmp_path):
    with pytest.raises(BadCheckpoint, match="no readable config"):
        Segmentation.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "depth_anything"}')
    with pytest.raises(BadCheckpoint, match="no segmentation model"):
        Segmentation.load(tmp_path)
    _model("linear").save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"classes": ["road"]}))
    with pytest.raises(BadCheckpoint, match="another shape"):
        Segmentation.load(tmp_path)


def test_a_mask2former_without_transformers_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers.models.mask2former.modeling_mask2former", None)
    with pytest.raises(UserError, match=r"open-depth-anything\[semantic\]"):
        _model(SMALL)


def test_classes_and_palettes_are_complete():
    lists = class_lists()
    assert {name: len(one) for name, one in lists.items()} == {"ade20k": 150, "cityscapes": 19}
    for one in lists.values():
        assert len(set(one.classes)) == len(one.palette) == len(one)
