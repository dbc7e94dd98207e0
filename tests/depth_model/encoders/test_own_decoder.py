"""MiDaS and ZoeDepth with their own decoder: what transformers makes, and models with it like any other."""

from __future__ import annotations

import socket

import pytest
import torch
from midas_folders import WHOLE, write_midas
from safetensors.torch import load_file, save_file
from torch.nn import functional

from depth_model.encoders.midas import read_midas
from depth_model.encoders.own_decoder import OwnDecoder, OwnEncoder, OwnPyramid, read_whole
from depth_model.metric.heads.metric_depth import MetricDepth, own_depth
from depth_model.metric.training.settings import MetricSettings
from depth_model.metric.training.train import initial_metric_model, metric_groups
from depth_model.networks import BadCheckpoint
from depth_model.networks.preprocessing import normalized
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.semantic.training.train import initial_encoder

SMALL = Mask2FormerSettings(32, 5, 2, 1, 1, 48, 16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return {kind: (root / kind, write_midas(root / kind, kind)) for kind in WHOLE}


def pictures(rows=4, columns=4):
    return torch.rand(2, 3, 14 * rows, 14 * columns, generator=torch.Generator().manual_seed(0))


def relative(theirs, shown):
    """What the relative model of `theirs` says of pictures as MiDaS sees them."""
    if hasattr(theirs, "relative_head"):
        states = theirs.backbone(shown).feature_maps
        return theirs.relative_head(theirs.neck(states, *(side // 16 for side in shown.shape[2:]))[0])[0]
    return theirs(shown).predicted_depth


@pytest.mark.parametrize("kind", WHOLE)
def test_it_says_what_transformers_says(folders, kind, monkeypatch):
    folder, theirs = folders[kind]
    monkeypatch.setattr(socket, "socket", None)  # nothing may be downloaded
    whole = read_whole(folder)
    encoder, decoder = OwnEncoder("tiny", whole).eval(), OwnDecoder(whole, patch=16).eval()
    columns = 4 if kind in ("vit", "hybrid") else 6  # transformers takes squares alone for these
    shown = functional.interpolate(pictures(4, columns), size=(64, 16 * columns), mode="bilinear")
    with torch.no_grad():
        expected = relative(theirs, 2 * shown - 1)
        found = decoder.maps(encoder(normalized(pictures(4, columns))), 4, columns)
    assert expected.shape == (2, 64, 16 * columns) and float(expected.std()) > 0
    torch.testing.assert_close(found.disparity, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", ["beit", "swin2", "hybrid"])
def test_a_metric_model_learns_whole_is_saved_and_comes_back(folders, kind, tmp_path):
    settings = MetricSettings(start="all", height=42, width=70)
    model = initial_metric_model(folders[kind][0], "tiny", "indoor", settings, 1).train()
    depth = model(normalized(pictures(3, 5)))
    assert depth.shape == (2, 42, 70) and float(depth.detach().min()) > 0
    depth.log().mean().backward()
    assert [name for name, one in model.named_parameters() if one.requires_grad and one.grad is None] == []
    assert torch.equal(depth, model(normalized(pictures(3, 5))))
    rates = {group["part"]: group["lr"] for group in metric_groups(model, settings)}
    assert rates["decoder"] == rates["head"] == 50 * rates["encoder"]
    model.eval().save(tmp_path / "a")
    again = MetricDepth.load(tmp_path / "a").eval()
    with torch.inference_mode():
        assert torch.equal(again(normalized(pictures(3, 5))), model(normalized(pictures(3, 5))))
    again.save(tmp_path / "b")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("kind", "head"), [("swin2", SMALL), ("hybrid", "linear")])
def test_a_segmentation_model_reads_the_decoders_maps(folders, kind, head, tmp_path):
    encoder = initial_encoder("tiny", str(folders[kind][0]), "all")
    assert isinstance(encoder, OwnPyramid)
    with torch.no_grad():
        sizes = [one.shape[1:] for one in encoder.eval()(normalized(pictures()))]
    assert sizes == [(8, 16, 16), (8, 8, 8), (8, 4, 4), (8, 2, 2)]
    model = Segmentation(encoder, class_lists()["cityscapes"], head, 42)
    scores = model.train()(normalized(pictures(3, 5)))
    assert scores.shape == (2, 19, 42, 70)
    scores.square().mean().backward()
    assert [name for name, one in model.encoder.named_parameters() if one.requires_grad and one.grad is None] == []
    model.eval().save(tmp_path)
    again = Segmentation.load(tmp_path).eval()
    with torch.inference_mode():
        assert torch.equal(again(normalized(pictures())), model(normalized(pictures())))


def test_zoedepths_encoder_is_midas_too(folders):
    folder, theirs = folders["zoedepth"]
    encoder = read_midas(folder, "tiny")
    states = encoder.backbone.state_dict()
    for name, value in theirs.backbone.beit.state_dict().items():
        assert name.endswith("mask_token") or torch.equal(states[name], value)


def test_what_cannot_be_is_one_line(folders, tmp_path):
    with pytest.raises(BadCheckpoint, match="none: start: all is for the decoders of MiDaS and ZoeDepth"):
        initial_encoder("tiny", "none", "all")
    with pytest.raises(BadCheckpoint, match="MiDaS's encoder is swinv2: take its own decoder too"):
        read_midas(folders["swin2"][0], "tiny")
    folder = folders["swin2"][0]
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: one for name, one in tensors.items() if not name.startswith("neck.convs.0")}, tmp_path / "m.safetensors"
    )
    (tmp_path / "m.safetensors").rename(tmp_path / "model.safetensors")
    with pytest.raises(BadCheckpoint, match=r"tensor neck\.convs\.0\.weight is missing"):
        read_whole(tmp_path)
    assert own_depth("tiny", read_whole(folder)).decoder.features == 8
