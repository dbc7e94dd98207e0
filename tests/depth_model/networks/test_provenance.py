"""A model from elsewhere as a start: the network of peers with the same file, refused where it does not fit."""

from __future__ import annotations

import json

import pytest
import torch

from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.networks.provenance import (
    Provenance,
    content_sha256,
    read_provenance,
    start_model,
    weights_path,
    write_provenance,
)
from depth_model.networks.releases import license_of

from .official_definition import official_disparity


def randomized(seed=3, **options):
    """A model whose LayerScale differs from channel to channel, so that no mistake hides."""
    model = DepthAnything("tiny", seed=seed, **options).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gamma"):
                parameter.copy_(torch.linspace(0.2, 0.8, len(parameter)))
    return model


def difference(found, expected):
    return float((found - expected).abs().max() / (expected.max() - expected.min()))


IMAGE = torch.randn(1, 3, 56, 70, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["depth_anything_v2_vits.pth", "depth_anything_vits14.pth", "mine.pth"])
def test_the_start_of_an_official_file_is_the_network_of_the_official_definition(tmp_path, name):
    state = randomized().official_state()
    torch.save(state, tmp_path / name)
    if name == "mine.pth":
        write_provenance(tmp_path, Provenance(source=name, version="v1"))
    model = start_model("teacher", str(tmp_path), "tiny", "last").eval()
    with torch.inference_mode():
        assert difference(model(IMAGE), official_disparity(state, IMAGE, 3, model.blocks)) < 1e-4


def test_the_start_of_a_folder_of_transformers_is_the_network_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    randomized(position_embedding="exact").save(tmp_path / "ours")
    theirs = transformers.DepthAnythingForDepthEstimation.from_pretrained(tmp_path / "ours").eval()
    theirs.save_pretrained(tmp_path / "theirs")
    config = json.loads((tmp_path / "theirs/config.json").read_text())
    own = {"size", "position_embedding", "version"}
    (tmp_path / "theirs/config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in own}))
    model = start_model("student", str(tmp_path / "theirs"), "tiny", "last").eval()
    with torch.inference_mode():
        assert difference(model(IMAGE), theirs(IMAGE).predicted_depth) < 1e-4


def test_a_model_of_another_size_is_no_start(tmp_path):
    randomized().save(tmp_path)
    with pytest.raises(UserError) as error:
        start_model("teacher", str(tmp_path), "vits", "last")
    assert "teacher.encoder = 'vits'" in str(error.value) and "'tiny'" in str(error.value)
    assert "\n" not in str(error.value)


def test_blocks_that_params_contradict_are_refused(tmp_path):
    DepthAnything("vits", blocks=[2, 5, 8, 11]).save(tmp_path)
    with pytest.raises(UserError, match=r"training.out_indices = 'last'.*\[2, 5, 8, 11\].*\[8, 9, 10, 11\]"):
        start_model("student", str(tmp_path), "vits", "last")
    assert start_model("student", str(tmp_path), "vits", "spread").version == "v2"


def test_what_is_no_relative_model_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"student.initial = .*notes.txt is no checkpoint"):
        start_model("student", str(tmp_path), "tiny", "last")
    with pytest.raises(UserError, match=r"teacher.initial = .*missing"):
        start_model("teacher", str(tmp_path / "missing"), "tiny", "last")


def test_the_only_file_is_the_weights_and_the_origin_beside_it_is_not(tmp_path):
    (tmp_path / "one.pth").write_bytes(b"1")
    before = content_sha256(tmp_path)
    write_provenance(tmp_path, Provenance(source="x", license="MIT", unit=2.0))
    assert weights_path(tmp_path) == tmp_path / "one.pth"
    assert read_provenance(tmp_path) == Provenance(source="x", license="MIT", unit=2.0)
    assert content_sha256(tmp_path) != before
    write_provenance(tmp_path, Provenance(predictions="disparity"))
    assert weights_path(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("name", "license"),
    [
        ("depth-anything/Depth-Anything-V2-Small-hf@main", "Apache-2.0"),
        ("depth_anything_v2_vitl.pth", "CC-BY-NC-4.0"),
        ("depth-anything/Depth-Anything-V2-Base-hf", "CC-BY-NC-4.0"),
        ("depth_anything_v2_metric_hypersim_vitb.pth", "CC-BY-NC-4.0"),
        ("depth_anything_v2_metric_hypersim_vits.pth", None),
        ("LiheYoung/depth-anything-large-hf", "Apache-2.0"),
        ("depth_anything_vitl14.pth", "Apache-2.0"),
        ("Intel/dpt-large", None),
    ],
)
def test_licenses_are_those_that_the_authors_state(name, license):
    assert license_of(name) == license


def test_one_is_warned_of_a_license_that_forbids_something_or_is_not_known():
    assert "not for commercial use" in Provenance(source="x", license="CC-BY-NC-4.0").warning
    assert "not for commercial use" in Provenance(source="x", license="cc-by-nc-sa-4.0").warning
    assert "not known" in Provenance(source="x").warning
    assert Provenance(source="x", license="apache-2.0").warning == ""
