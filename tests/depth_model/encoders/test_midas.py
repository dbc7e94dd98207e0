"""MiDaS's encoder: tokens are those of transformers, and models with it are trained, saved and loaded like others."""

from __future__ import annotations

import json
import socket
import sys
from functools import partial

import pytest
import torch
from midas_folders import KINDS, write_midas
from safetensors.torch import load_file, save_file
from torch.nn import functional

from depth_model.encoders.any_encoder import any_encoder
from depth_model.encoders.midas import MidasEncoder, is_midas, read_midas
from depth_model.errors import UserError
from depth_model.metric.heads.checkpoints import is_metric
from depth_model.metric.heads.metric_depth import MetricDepth, midas_depth
from depth_model.networks import BadCheckpoint
from depth_model.networks.preprocessing import normalized
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.training.optimizers import parameter_groups

SMALL = Mask2FormerSettings(32, 5, 2, 1, 1, 48, 16)
ROWS, COLUMNS = 3, 5


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("midas")
    return {kind: (root / kind, write_midas(root / kind, kind)) for kind in KINDS}


def pictures():
    """Colors (B, 3, H, W) in [0, 1] of as many patches of 14 pixels as `ROWS` and `COLUMNS` say."""
    return torch.rand(2, 3, 14 * ROWS, 14 * COLUMNS, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_the_hidden_states_of_transformers_at_sixteen_pixels_a_patch(folders, kind, monkeypatch):
    folder, theirs = folders[kind]
    monkeypatch.setattr(socket, "socket", None)  # nothing may be downloaded
    encoder = any_encoder("tiny", str(folder)).eval()
    enlarged = functional.interpolate(pictures(), size=(16 * ROWS, 16 * COLUMNS), mode="bilinear")
    backbone = theirs.backbone.beit if kind == "beit" else theirs.dpt
    with torch.no_grad():
        states = backbone(pixel_values=2 * enlarged - 1, output_hidden_states=True).hidden_states
        norm = theirs.dpt.layernorm if kind == "vit" else partial(functional.layer_norm, normalized_shape=(48,))
        expected = [norm(state[:, 1:]) for state in (states[2], states[5])]
        found = encoder(normalized(pictures()), [1, 4])
    assert found[0].shape == (2, ROWS * COLUMNS, 48)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)
    assert not torch.allclose(found[0], found[1], atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_draws_nothing_and_every_weight_learns(folders, kind):
    model = MetricDepth(midas_depth(read_midas(folders[kind][0], "tiny"), seed=1), "bins", 10.0, seed=2).train()
    narrow = normalized(pictures())[..., :56]
    with torch.inference_mode():
        model(narrow)  # what transformers remembers of a size must serve training too
    first, second = (model(narrow) for _ in range(2))
    assert torch.equal(first, second)
    first.log().mean().backward()
    assert [name for name, one in model.named_parameters() if one.requires_grad and one.grad is None] == []
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        rough = model(narrow)
    assert rough.dtype == torch.float32
    assert float(((rough - second) / second).detach().abs().mean()) < 0.05


@pytest.mark.parametrize("head", ["bins", "sigmoid"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_metric_model_comes_back(folders, tmp_path, kind, head):
    model = MetricDepth(midas_depth(read_midas(folders[kind][0], "tiny")), head, 10.0, "indoor", (42, 70)).eval()
    model.save(tmp_path / "a")
    assert is_metric(tmp_path / "a")
    again = MetricDepth.load(tmp_path / "a").eval()
    assert (again.maximum, again.domain, again.input_size) == (10.0, "indoor", (42, 70))
    with torch.inference_mode():
        assert torch.equal(again(normalized(pictures())), model(normalized(pictures())))
    again.save(tmp_path / "b")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(ValueError, match="released metric layout"):
        model.export_released(tmp_path / "c.pt")


@pytest.mark.parametrize("head", ["linear", SMALL])
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_segmentation_model_comes_back(folders, tmp_path, kind, head):
    encoder = any_encoder("tiny", str(folders[kind][0]))
    model = Segmentation(encoder, class_lists()["cityscapes"], head, 42).eval()
    model.save(tmp_path / "a")
    again = Segmentation.load(tmp_path / "a").eval()
    with torch.inference_mode():
        assert torch.equal(again(normalized(pictures())), model(normalized(pictures())))
    again.save(tmp_path / "b")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_saved_model_with_an_unknown_backbone_is_refused(folders, tmp_path):
    encoder = read_midas(folders["beit"][0], "tiny")
    Segmentation(encoder, class_lists()["cityscapes"], "linear", 42).save(tmp_path / "semantic")
    MetricDepth(midas_depth(encoder), "bins", 10.0).save(tmp_path / "metric")
    for load in (Segmentation.load, MetricDepth.load):
        folder = tmp_path / ("semantic" if load == Segmentation.load else "metric")
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"beit"', '"swin"'))
        with pytest.raises(BadCheckpoint, match=r"config\.json describes no"):
            load(folder)


def test_positions_and_tokens_do_not_decay(folders):
    for kind, names in (("vit", ["cls_token", "position_embeddings"]), ("beit", ["cls_token", "position_bias_table"])):
        model = torch.nn.ModuleDict({"encoder": read_midas(folders[kind][0], "tiny")})
        decaying = {id(one) for group in parameter_groups(model, 1e-4, 1e-3, 0.05) if group["weight_decay"]
                    for one in group["params"]}  # fmt: skip
        named = dict(model.named_parameters())
        assert decaying and all(id(named[n]) not in decaying for n in named if n.endswith(tuple(names)))


def changed(folder, target, **changes):
    """Copy a folder with other values in its config.json."""
    target.mkdir()
    config = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | changes))
    save_file(load_file(folder / "model.safetensors"), target / "model.safetensors")
    return target


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"is_hybrid": True}, "is hybrid"),
        ({"backbone": "someone/elses"}, "someone/elses"),
        ({"backbone_config": {"model_type": "swinv2"}}, "swinv2"),
        ({"intermediate_size": 48}, "do not agree"),
        ({"num_hidden_layers": 7}, "is missing"),
    ],
)
def test_what_is_no_encoder_of_midas_is_refused_in_one_line(folders, tmp_path, changes, named):
    folder = changed(folders["vit"][0], tmp_path / "other", **changes)
    assert is_midas(folder)
    with pytest.raises(BadCheckpoint, match=named) as caught:
        read_midas(folder, "tiny")
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_other_models_are_not_taken_for_midas(tmp_path):
    assert not is_midas(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "depth_anything"}')
    assert not is_midas(tmp_path)


def test_without_transformers_it_is_said_what_to_install(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers.models.dpt", None)
    shape = json.loads((folders["vit"][0] / "config.json").read_text())
    with pytest.raises(UserError, match=r"MiDaS's encoder needs .*open-depth-anything\[semantic\]"):
        MidasEncoder("tiny", shape)
