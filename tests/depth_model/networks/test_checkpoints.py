"""Every layout people have, hostile and damaged files, and parity with transformers on the same weights."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from depth_model.networks import BadCheckpoint, DepthAnything, build_encoder

transformers = pytest.importorskip("transformers")


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomized(size: str = "tiny", seed: int = 1, **options) -> DepthAnything:
    """A model in which no tensor is zero or one, so that a swapped or dropped tensor shows."""
    model = DepthAnything(size, seed=seed, **options).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference in units of the range of the expected map."""
    return ((found - expected).abs().max() / (expected.max() - expected.min())).item()


@pytest.fixture(scope="module")
def model() -> DepthAnything:
    return randomized()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model")
    model.save(path)
    return path


def digests(path: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}


def test_own_folder_round_trip_gives_the_same_bytes(model, folder, tmp_path):
    loaded = DepthAnything.load(folder)
    assert same_weights(loaded, model)
    loaded.save(tmp_path / "again")
    assert digests(tmp_path / "again") == digests(folder)
    assert set(digests(folder)) == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_settings_survive_the_round_trip(tmp_path):
    model = randomized("vits", position_embedding="exact", blocks=[2, 5, 8, 11])
    model.save(tmp_path)
    loaded = DepthAnything.load(tmp_path).eval()
    assert (loaded.encoder.size, loaded.encoder.position_embedding, loaded.blocks) == ("vits", "exact", [2, 5, 8, 11])
    with torch.no_grad():
        assert torch.equal(loaded(images(1, 3, 28, 42)), model(images(1, 3, 28, 42)))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s, "epoch": 3}])
@pytest.mark.parametrize("zipped", [True, False])
def test_official_pth_round_trip(model, tmp_path, wrap, zipped):
    state = model.official_state()
    assert {name.split(".")[0] for name in state} == {"pretrained", "depth_head"}
    torch.save(wrap(state), tmp_path / "weights.bin", _use_new_zipfile_serialization=zipped)
    loaded = DepthAnything.load(tmp_path / "weights.bin", "v1")
    assert same_weights(loaded, model)
    assert loaded.encoder.position_embedding == "official"


def test_official_names_and_shapes_are_those_of_the_released_files():
    with torch.device("meta"):
        state = DepthAnything("vits").official_state()
    expected = {
        "pretrained.mask_token": (1, 384),
        "pretrained.pos_embed": (1, 1370, 384),
        "pretrained.patch_embed.proj.weight": (384, 3, 14, 14),
        "pretrained.blocks.11.attn.qkv.weight": (1152, 384),
        "pretrained.blocks.0.ls1.gamma": (384,),
        "pretrained.norm.bias": (384,),
        "depth_head.projects.3.weight": (384, 384, 1, 1),
        "depth_head.resize_layers.0.weight": (48, 48, 4, 4),
        "depth_head.resize_layers.1.weight": (96, 96, 2, 2),
        "depth_head.resize_layers.3.weight": (384, 384, 3, 3),
        "depth_head.scratch.layer2_rn.weight": (64, 96, 3, 3),
        "depth_head.scratch.refinenet4.resConfUnit1.conv1.weight": (64, 64, 3, 3),
        "depth_head.scratch.refinenet1.out_conv.bias": (64,),
        "depth_head.scratch.output_conv1.weight": (32, 64, 3, 3),
        "depth_head.scratch.output_conv2.0.weight": (32, 32, 3, 3),
        "depth_head.scratch.output_conv2.2.weight": (1, 32, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected
    assert "depth_head.scratch.layer1_rn.bias" not in state and "depth_head.resize_layers.2.weight" not in state


def test_a_data_parallel_prefix_and_a_bare_safetensors_file_are_understood(model, tmp_path):
    state = {f"module.{name}": value for name, value in model.official_state().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "any.name")
    assert same_weights(DepthAnything.load(tmp_path / "any.name", "v1"), model)


def test_blocks_of_the_second_version_can_be_given_for_a_bare_file(tmp_path):
    model = randomized("vits", blocks=[2, 5, 8, 11])
    torch.save(model.official_state(), tmp_path / "v2.pth")
    batch = images(1, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(DepthAnything.load(tmp_path / "v2.pth", blocks=[2, 5, 8, 11]).eval()(batch), model(batch))
        assert torch.equal(DepthAnything.load(tmp_path / "v2.pth", "v2").eval()(batch), model(batch))
        assert not torch.equal(DepthAnything.load(tmp_path / "v2.pth", "v1").eval()(batch), model(batch))


# Against transformers, which implements the same model independently.


def test_transformers_loads_the_folder_as_it_is_and_agrees_at_518(model, folder):
    theirs, report = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    batch = images(1, 3, 518, 518)
    with torch.no_grad():
        assert difference(model(batch), theirs.eval()(batch).predicted_depth) < 1e-4


@pytest.mark.parametrize(("height", "width"), [pytest.param(252, 350, marks=pytest.mark.slow), (28, 14)])
def test_transformers_agrees_at_other_sizes_with_the_exact_position_embedding(tmp_path, height, width):
    model = randomized("vits", position_embedding="exact")
    model.save(tmp_path)
    theirs = transformers.DepthAnythingForDepthEstimation.from_pretrained(tmp_path).eval()
    batch = images(1, 3, height, width)
    with torch.no_grad():
        expected = theirs(batch).predicted_depth
        assert difference(model(batch), expected) < 1e-4
        model.encoder.position_embedding = "official"
        assert difference(model(batch), expected) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("size", ["vits", "vitb", "vitl"])
def test_transformers_agrees_for_all_published_sizes(tmp_path, size):
    model = randomized(size)
    model.save(tmp_path)
    assert same_weights(DepthAnything.load(tmp_path), model)
    theirs = transformers.DepthAnythingForDepthEstimation.from_pretrained(tmp_path).eval()
    batch = images(1, 3, 518, 518)
    with torch.no_grad():
        assert difference(model(batch), theirs(batch).predicted_depth) < 1e-4


def test_transformers_pipeline_works_on_the_folder(folder):
    estimate = transformers.pipeline("depth-estimation", model=str(folder))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8))
    result = estimate(picture)
    assert tuple(result["predicted_depth"].shape[-2:]) == (120, 160)
    assert result["depth"].size == (160, 120)


@pytest.mark.parametrize("version", [4, 5])
def test_folders_written_by_transformers_are_loaded(folder, tmp_path, version):
    theirs = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    theirs.save_pretrained(tmp_path)
    if version == 5:
        state = {name: value.contiguous() for name, value in theirs.state_dict().items()}
        assert "backbone.encoder.layer.0.attention.q_proj.weight" in state
        save_file(state, tmp_path / "model.safetensors")
    else:
        assert "backbone.encoder.layer.0.attention.attention.query.weight" in load_file(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(without_own_settings(tmp_path / "config.json"))
    ours = DepthAnything.load(tmp_path).eval()
    assert ours.encoder.position_embedding == "exact"
    batch = images(2, 3, 42, 70)
    with torch.no_grad():
        assert difference(ours(batch), theirs(batch).predicted_depth) < 1e-4


def without_own_settings(path: Path) -> str:
    config = json.loads(path.read_text())
    return json.dumps({name: value for name, value in config.items() if name not in ("size", "position_embedding")})


# Encoder weights from a path.


@pytest.fixture(params=["dinov2.pth", "timm.safetensors", "depth_anything.pth", "own", "dinov2_folder", "classifier"])
def encoder_path(request, model, folder, tmp_path) -> Path:
    """The same encoder weights in each layout that may be given as `encoder.weights`."""
    path, state = tmp_path / request.param, model.encoder.state_dict()
    if request.param == "own":
        return folder
    if request.param == "dinov2.pth":
        torch.save(state, path)
    elif request.param == "timm.safetensors":
        save_file({name: value for name, value in state.items() if name != "mask_token"}, path)
    elif request.param == "depth_anything.pth":
        torch.save(model.official_state(), path)
    else:
        save_dinov2_of_transformers(folder, path, with_classifier=request.param == "classifier")
    return path


def save_dinov2_of_transformers(folder: Path, path: Path, with_classifier: bool) -> None:
    depth = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder)
    kind = transformers.Dinov2ForImageClassification if with_classifier else transformers.Dinov2Model
    other = kind(depth.config.backbone_config)
    target = other.dinov2 if with_classifier else other
    target.load_state_dict(depth.backbone.state_dict(), strict=True)
    other.save_pretrained(path)


def test_an_encoder_is_loaded_from_any_layout(encoder_path, model):
    encoder = build_encoder("tiny", str(encoder_path))
    expected = model.encoder.state_dict()
    for name, value in encoder.state_dict().items():
        if name != "mask_token":
            assert torch.equal(value, expected[name]), name
    other = DepthAnything("tiny", weights=str(encoder_path), seed=9)
    assert torch.equal(other.encoder.norm.weight, model.encoder.norm.weight)
    assert not torch.equal(other.decoder.projects[0].weight, model.decoder.projects[0].weight)


def test_timm_would_accept_the_encoder_under_its_own_names(model):
    reference = timm.models.VisionTransformer(
        img_size=518, patch_size=14, embed_dim=48, depth=4, num_heads=3, init_values=1.0, num_classes=0
    )
    names = set(model.encoder.state_dict()) - {"mask_token"}
    assert names == set(reference.state_dict())


# Files that are no checkpoint.


class Malicious:
    """A pickle that creates a file when it is loaded naively."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.hostile
@pytest.mark.parametrize("container", ["zip", "legacy", "bare", "nested"])
def test_a_malicious_pickle_is_refused_and_never_run(model, tmp_path, container):
    trap, path = tmp_path / "trap", tmp_path / "weights.pth"
    if container == "bare":
        path.write_bytes(pickle.dumps(Malicious(trap)))
    else:
        content = {**model.official_state(), "x": Malicious(trap)} if container == "nested" else Malicious(trap)
        torch.save(content, path, _use_new_zipfile_serialization=container != "legacy")
    for load in (DepthAnything.load, lambda path: build_encoder("tiny", str(path))):
        with pytest.raises(BadCheckpoint, match="refused") as caught:
            load(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not trap.exists()


@pytest.mark.hostile
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damaged_files_are_refused_whatever_is_left_of_them(model, tmp_path, kind):
    path = tmp_path / "weights"
    state = {name: value.contiguous() for name, value in model.official_state().items()}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    for length in [0, 1, 2, 9, 100, 5000, *np.linspace(10_000, len(content) - 1, 8).astype(int)]:
        path.write_bytes(content[:length])
        with pytest.raises(BadCheckpoint) as caught:
            DepthAnything.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.hostile
def test_files_that_are_something_else_are_named(tmp_path, model):
    cases = {
        "text.pth": (lambda p: p.write_text("not a checkpoint"), "is no checkpoint"),
        "list.pth": (lambda p: torch.save([1, 2], p), "holds no state dict"),
        "mixed.pth": (lambda p: torch.save({"a": torch.zeros(1), "b": 3}, p), "entry 'b' is no tensor"),
        "other.pth": (lambda p: torch.save({"fc.weight": torch.zeros(1)}, p), "'fc.weight' is of no known layout"),
        "encoder.pth": (lambda p: torch.save(model.encoder.state_dict(), p), "no depth decoder"),
        "empty": (lambda p: p.mkdir(), "holds no model.safetensors"),
        "absent": (lambda p: None, "does not exist"),
    }
    for name, (write, complaint) in cases.items():
        write(tmp_path / name)
        with pytest.raises(BadCheckpoint, match=complaint) as caught:
            DepthAnything.load(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_weights_of_another_shape_are_named_in_one_line(model, tmp_path):
    path = tmp_path / "tiny.pth"
    torch.save(model.official_state(), path)
    with pytest.raises(BadCheckpoint, match=r"vits encoder from .* is it a model of this size") as caught:
        build_encoder("vits", str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("depth_head.projects.0.bias", r"projects\.0\.bias is missing"), ("pretrained.norm_pre.weight", "is unknown")],
)
def test_a_tensor_too_few_or_too_many_is_named(model, tmp_path, name, complaint):
    state = model.official_state()
    if state.pop(name, None) is None:
        state[name] = torch.zeros(1, 4, 48)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(BadCheckpoint, match=complaint):
        DepthAnything.load(tmp_path / "weights.pth", "v1")


NO_RELATIVE_DEPTH = [
    {"model_type": "dpt"},
    {"depth_estimation_type": "metric"},
    {"backbone_config": {}},
    {"backbone_config": 3},
]


@pytest.mark.parametrize("change", NO_RELATIVE_DEPTH)
def test_a_folder_of_another_model_is_refused(folder, tmp_path, change):
    model_file = folder / "model.safetensors"
    (tmp_path / "model.safetensors").hardlink_to(model_file)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(BadCheckpoint, match=r"config\.json"):
        DepthAnything.load(tmp_path)
