"""What teacher and student start from, and the options of the second Depth Anything."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from depth_model.networks import DepthAnything
from depth_model.networks.variants import VARIANTS
from depth_model.objectives import affine_invariant_loss, gradient_matching_loss
from depth_model.pseudo_label.teachers import relative_model
from depth_model.training.settings import TeacherSettings
from depth_model.training.start import Seen, anchor_terms, initial_model, label_terms
from depth_model.training.teacher import train_teacher
from depth_model.training.terms import values
from tests.depth_model.networks.official_definition import official_disparity

from .small_run import MACHINE, SETTINGS

VITS, TINY = (TeacherSettings(encoder=size) for size in ("vits", "tiny"))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return {
        "disparity": torch.rand(2, 28, 42, generator=generator),
        "valid": torch.rand(2, 28, 42, generator=generator) < 0.8,
    }


def test_gradient_matching_is_added_with_its_weight(batch):
    disparity = torch.rand(2, 28, 42, generator=torch.Generator().manual_seed(1))
    expected = affine_invariant_loss(disparity, batch["disparity"], batch["valid"])
    gradient = gradient_matching_loss(disparity, batch["disparity"], batch["valid"])
    assert gradient > 0
    with_both = dataclasses.replace(SETTINGS, gradient_matching=2.0)
    both, one = (label_terms(lambda batch: batch, training) for training in (with_both, SETTINGS))
    seen = Seen(disparity, disparity, batch)
    assert values(both, seen) == {"affine_invariant": expected, "gradient_matching": gradient}
    assert [(term.name, term.weight) for term in both] == [("affine_invariant", 1.0), ("gradient_matching", 2.0)]
    assert values(one, seen) == {"affine_invariant": expected}
    assert [(term.name, term.weight) for term in one] == [("affine_invariant", 1.0)]


def test_the_decoder_reads_the_blocks_of_either_version():
    spread = dataclasses.replace(SETTINGS, out_indices="spread")
    assert initial_model("teacher", VITS, "none", 0, SETTINGS, MACHINE).blocks == [8, 9, 10, 11]
    assert initial_model("teacher", VITS, "none", 0, spread, MACHINE).blocks == [2, 5, 8, 11]
    assert VARIANTS["vitl"].spread == (4, 11, 17, 23)


def gradients_and_bytes(machine):
    model = initial_model("teacher", TINY, "none", 1, SETTINGS, machine)
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    images = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(images).square().mean()
    loss.backward()
    parameters = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return parameters, sum(kept.values())


def test_checkpointing_gives_the_same_gradients_and_keeps_less():
    expected, much = gradients_and_bytes(MACHINE)
    found, little = gradients_and_bytes(dataclasses.replace(MACHINE, gradient_checkpointing=True))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient)
    assert little < 0.8 * much


def test_training_goes_through_the_options(pools, tmp_path):
    training = dataclasses.replace(SETTINGS, gradient_matching=0.5, out_indices="spread")
    machine = dataclasses.replace(MACHINE, gradient_checkpointing=True)
    settings = TeacherSettings("tiny", 40, 4, 1e-3, 1e-3)
    _, history = train_teacher(pools[0], "none", settings, training, 3, tmp_path, lambda *_: None, machine)
    assert history.recent("gradient_matching", 10) < history.recent("gradient_matching", 60)


def test_the_anchor_is_half_the_squared_distance_from_the_start_of_what_is_pre_trained():
    model = initial_model("teacher", TINY, "none", 1, SETTINGS, MACHINE)
    (whole,) = anchor_terms(model, "data/models/mine", 0.3, len)
    (encoder,) = anchor_terms(model, "encoder", 0.3, len)
    assert anchor_terms(model, "encoder", 0.0, len) == []
    assert whole.weight == 0.3 and whole.value(None) == 0
    with torch.no_grad():
        model.decoder.scratch.output_conv1.bias += 2
        model.encoder.norm.bias += 1
    count = len(model.decoder.scratch.output_conv1.bias)
    assert float(encoder.value(None)) == pytest.approx(48 / 2)
    assert float(whole.value(None)) == pytest.approx((48 + 4 * count) / 2)
    whole.value(None).backward()
    torch.testing.assert_close(model.encoder.norm.bias.grad, torch.ones(48))


def test_a_training_that_starts_from_a_whole_model_stays_near_it_by_the_anchor(pools, tmp_path):
    start = initial_model("teacher", TINY, "none", 8, SETTINGS, MACHINE)
    start.save(tmp_path / "start")
    settings = dataclasses.replace(TINY, initial=str(tmp_path / "start"), epochs=4, batch=2)
    settings = dataclasses.replace(settings, encoder_learning_rate=1e-3, decoder_learning_rate=1e-3)
    moved = {}
    for weight in (0.0, 10.0):
        training = dataclasses.replace(SETTINGS, anchor=weight)
        scratch = tmp_path / str(weight)
        scratch.mkdir()
        model, history = train_teacher(pools[0], "none", settings, training, 3, scratch, lambda *_: None, MACHINE)
        pairs = zip(model.parameters(), start.parameters(), strict=True)
        moved[weight] = sum(float((a - b).square().sum()) for a, b in pairs)
        assert ("anchor" in history.columns) == (weight > 0)
    assert 0 < moved[10.0] < moved[0.0] / 4


def official(folder, images):
    """Leave an official file in `folder`; return what the official definition makes of images."""
    model = DepthAnything("tiny", seed=21)
    torch.save(model.official_state(), folder / "depth_anything_vits14.pth")
    return official_disparity(model.official_state(), images, 3, model.blocks)


def transformers_folder(folder, images):
    """Let transformers make a model with weights of its own and save it in `folder`; return what it makes of images."""
    transformers = pytest.importorskip("transformers")
    DepthAnything("tiny").save(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(22)
        peer = transformers.DepthAnythingForDepthEstimation(config).eval()
        for parameter in peer.parameters():  # its own weights make a map that is constant but for rounding
            parameter.add_(0.1 * torch.randn(parameter.shape))
    peer.head.conv3.bias.fill_(1.0)  # the last ReLU is alive
    peer.save_pretrained(folder)
    return peer(images).predicted_depth


@pytest.mark.parametrize("write", [official, transformers_folder])
def test_before_the_first_step_a_start_and_a_teacher_say_what_the_peer_says(tmp_path, write):
    images = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = write(tmp_path, images)
        assert expected.std() > 1e-4
        settings = dataclasses.replace(TINY, initial=str(tmp_path))
        start = initial_model("teacher", settings, "packaged", 5, SETTINGS, MACHINE).eval()
        for model in (start, relative_model(tmp_path).eval()):
            difference = (model(images) - expected).abs().max() / (expected.max() - expected.min())
            assert difference < 1e-4
