"""Which Depth Anything a file is of: told by its name, its configuration or the user, asked for otherwise."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest
import torch
from transformers import DepthAnythingForDepthEstimation, Dinov2Config

from depth_model.metric.heads.checkpoints import is_metric
from depth_model.metric.heads.metric_depth import MetricDepth, load_depth
from depth_model.networks import BadCheckpoint, DepthAnything
from depth_model.networks.checkpoints import read_settings
from depth_model.networks.releases import Release, release_of


@pytest.fixture(scope="module")
def model() -> DepthAnything:
    return DepthAnything("tiny", seed=1).eval()


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("depth_anything_v2_vits.pth", Release("v2")),
        ("Depth-Anything-V2-Base-hf", Release("v2")),
        ("depth_anything_v2_vitl (1).pth", Release("v2")),
        ("depth_anything_v2_metric_hypersim_vitl.pth", Release("v2", True, 20.0, "indoor")),
        ("depth_anything_v2_metric_vkitti_vits.pth", Release("v2", True, 80.0, "outdoor")),
        ("Depth-Anything-V2-Metric-Outdoor-Small-hf/model.safetensors", Release("v2", True, 80.0, "outdoor")),
        ("depth_anything_v2_vits_metric_of_mine.pth", Release("v2", True)),
        ("depth_anything_vitl14.pth", Release("v1")),
        ("depth-anything-small-hf", Release("v1")),
        ("depth_anything_metric_depth_indoor.pt", Release("v1", True, 10.0, "indoor")),
        ("depth_anything_metric_depth_outdoor.pt", Release("v1", True, 80.0, "outdoor")),
        ("latest.pth", None),
        ("depth_anything.pth", None),
        ("depth_anything_v25.pth", None),
    ],
)
def test_names_say_what_no_tensor_shows(name, release):
    assert release_of(f"/somewhere/depth_anything_v2_vits/{name}") == release


def test_a_version_that_cannot_be_known_is_asked_for_in_one_line(model, tmp_path):
    path = tmp_path / "latest.pth"
    torch.save(model.official_state(), path)
    for load in (DepthAnything.load, load_depth, lambda one: MetricDepth.load(one, 20.0)):
        with pytest.raises(BadCheckpoint, match=r"latest\.pth.*say version v1 or v2 \(--version") as caught:
            load(path)
        assert "\n" not in str(caught.value)
    assert DepthAnything.load(path, "v2").version == "v2"
    assert load_depth(path, "v1").version == "v1"
    assert isinstance(load_depth(path, "v2", 20.0), MetricDepth)


def test_what_is_said_of_a_model_of_the_other_kind_is_refused(model, tmp_path):
    relative, metric = tmp_path / "depth_anything_v2_vits.pth", tmp_path / "depth_anything_v2_metric_vkitti_vits.pth"
    for path in (relative, metric):
        torch.save(model.official_state(), path)
    with pytest.raises(BadCheckpoint, match="is a metric model by its name"):
        DepthAnything.load(metric)
    with pytest.raises(BadCheckpoint, match="is a model of relative depth by its name"):
        MetricDepth.load(relative, 20.0)
    with pytest.raises(BadCheckpoint, match="is a model of relative depth"):
        load_depth(relative, maximum=20.0)
    assert load_depth(metric).maximum == 80.0
    unknown = tmp_path / "depth_anything_v2_vits_metric_of_mine.pth"
    torch.save(model.official_state(), unknown)
    with pytest.raises(BadCheckpoint, match="largest depth"):
        load_depth(unknown)


def test_content_decides_and_not_the_suffix(model, tmp_path):
    torch.save(model.official_state(), tmp_path / "relative.pt")
    assert not is_metric(tmp_path / "relative.pt")
    MetricDepth(model, "bins", 10.0).export_released(tmp_path / "metric.pth")
    assert is_metric(tmp_path / "metric.pth")
    assert load_depth(tmp_path / "metric.pth").maximum == 10.0


def test_our_folders_say_it_and_nobody_can_say_otherwise(tmp_path):
    DepthAnything("vits", version="v2").save(tmp_path / "ours")
    loaded = DepthAnything.load(tmp_path / "ours" / "model.safetensors")
    assert (loaded.version, loaded.blocks) == ("v2", [2, 5, 8, 11])
    with pytest.raises(BadCheckpoint, match="says that it is of version v2, not v1"):
        DepthAnything.load(tmp_path / "ours", "v1")
    # A folder of transformers, or one from before versions were written, tells by its blocks.
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config.pop("version") == "v2"
    (tmp_path / "ours" / "config.json").write_text(json.dumps(config))
    assert DepthAnything.load(tmp_path / "ours").version == "v2"
    config["backbone_config"]["out_indices"] = [1, 2, 3, 12]
    (tmp_path / "ours" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadCheckpoint, match="--version"):
        DepthAnything.load(tmp_path / "ours")


WRAPPED = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
    "training of the second": lambda state: {
        "model": prefixed(state, "module."), "optimizer": {"state": {}}, "epoch": 1, "previous_best": {"d1": 0.5}
    },
    "ema": lambda state: {"ema": {"module": state}, "updates": 7},
    "the same twice": lambda state: {"model": state, "ema": dict(state)},
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "compiled inside": lambda state: {
        name.replace("pretrained.", "pretrained._orig_mod."): one for name, one in state.items()
    },
    "lightning": lambda state: {"state_dict": prefixed(state, "model."), "global_step": 3},
    "repeated": lambda state: prefixed(state, "module._orig_mod.module.model.model."),
    "averaged": lambda state: {"n_averaged": torch.tensor(3), **prefixed(state, "module.")},
    "half": lambda state: {name: one.half() for name, one in state.items()},
}  # fmt: skip


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_what_training_programs_put_around_is_taken_off(model, tmp_path, wrapper):
    torch.save(WRAPPED[wrapper](model.official_state()), tmp_path / "depth_anything_vits14.pth")
    found = DepthAnything.load(tmp_path / "depth_anything_vits14.pth").state_dict()
    for name, value in model.state_dict().items():
        expected = value.half().float() if wrapper == "half" else value
        assert found[name].dtype == torch.float32 and torch.equal(found[name], expected)


REFUSED = {
    r"several sets of weights \(model, ema\)": lambda state: {
        "model": state, "ema": {name: one + 1 for name, one in state.items()}
    },
    r"several networks \(ema_model, model\)": lambda state: {
        **prefixed(state, "model."), **prefixed(state, "ema_model.")
    },
    "twice": lambda state: {**state, **prefixed(state, "module.")},
    "entry 'decay' is no tensor": lambda state: {"decay": 0.999, "shadow_params": list(state.values())},
    "'generator.pretrained": lambda state: prefixed(state, "generator."),
    "is quantized": lambda state: {name: one.to(torch.int8) for name, one in state.items()},
}  # fmt: skip


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_not_plain_is_refused_with_what_was_found(model, tmp_path, said):
    torch.save(REFUSED[said](model.official_state()), tmp_path / "depth_anything_vits14.pth")
    with pytest.raises(BadCheckpoint, match=said) as caught:
        DepthAnything.load(tmp_path / "depth_anything_vits14.pth")
    assert "\n" not in str(caught.value) and "depth_anything_vits14.pth" in str(caught.value)


def test_a_released_name_on_the_head_of_the_other_version_is_asked_about(model, tmp_path):
    plain, bins = (
        tmp_path / "depth_anything_metric_depth_indoor.pt",
        tmp_path / "depth_anything_v2_metric_vkitti_vits.pth",
    )
    torch.save(model.official_state(), plain)
    MetricDepth(model, "bins", 10.0).export_released(bins)
    content = torch.load(bins)
    torch.save({"model": content["model"]}, bins)
    for path, said in ((plain, "name of v1, but no metric bins"), (bins, "name of v2, but metric bins")):
        with pytest.raises(BadCheckpoint, match=said) as caught:
            load_depth(path)
        assert "--version" in str(caught.value) and "\n" not in str(caught.value)
    assert load_depth(plain, "v1", 10.0).maximum == 10.0
    assert load_depth(bins, "v1", 10.0).blocks == model.blocks


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_not_finite_are_refused(model, tmp_path, value):
    state = model.official_state()
    state["depth_head.scratch.output_conv2.2.bias"] = torch.tensor([float(value)])
    torch.save(state, tmp_path / "depth_anything_vits14.pth")
    with pytest.raises(BadCheckpoint, match=r"output_conv2\.2\.bias is not finite; the training diverged"):
        DepthAnything.load(tmp_path / "depth_anything_vits14.pth")


def test_weights_in_several_files_are_refused_with_the_remedy(model, tmp_path):
    model.save(tmp_path / "one")
    theirs = DepthAnythingForDepthEstimation.from_pretrained(tmp_path / "one")
    theirs.save_pretrained(tmp_path / "many", max_shard_size="200KB")
    with pytest.raises(BadCheckpoint, match=r"many holds its weights in several files.*max_shard_size"):
        load_depth(tmp_path / "many")


def test_what_a_refused_pickle_holds_is_named(model, tmp_path):
    torch.save({"model": model.official_state(), "args": Namespace(epochs=3)}, tmp_path / "depth_anything_vits14.pth")
    with pytest.raises(BadCheckpoint, match=r"depth_anything_vits14\.pth is refused: it holds argparse\.Namespace"):
        DepthAnything.load(tmp_path / "depth_anything_vits14.pth")


@pytest.mark.parametrize(
    ("named", "version"),
    [
        ({"out_features": ["stage3", "stage6", "stage9", "stage12"]}, "v2"),
        ({"out_features": ["stage9", "stage10", "stage11", "stage12"], "out_indices": None}, "v1"),
        ({"out_indices": [-10, -7, -4, -1]}, "v2"),
    ],
)
def test_blocks_as_transformers_may_name_them(tmp_path, named, version):
    Dinov2Config(hidden_size=384, num_attention_heads=6, num_hidden_layers=12, **named)  # a configuration it takes
    DepthAnything("vits").save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["version"], config["backbone_config"]["out_indices"]
    config["backbone_config"] |= named
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_settings(tmp_path)["blocks"] == ([2, 5, 8, 11] if version == "v2" else [8, 9, 10, 11])
    assert DepthAnything.load(tmp_path).version == version
