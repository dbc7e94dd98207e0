"""Metric fine-tuning: schedule and groups are those of torch and the released code, and meters are learned."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from midas_folders import KINDS, write_midas
from PIL import Image
from torch import nn

from depth_model import readers
from depth_model.encoders.own_decoder import OwnDecoder
from depth_model.errors import UserError
from depth_model.evaluation import protocols
from depth_model.evaluation.cases import CollectedCases
from depth_model.evaluation.harness import evaluate
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.estimator import of_metric
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.metric.training import train
from depth_model.metric.training.batches import metric_batch
from depth_model.metric.training.settings import MetricSettings
from depth_model.networks import BadCheckpoint, DepthAnything
from depth_model.networks.variants import VARIANTS
from depth_model.objectives import silog_loss
from depth_model.reading.collecting import collect_source
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder
from depth_model.training.settings import LoopSettings, TrainingMachine, ValidationSettings
from depth_model.training.terms import values
from depth_model.training.validation import HeldOut

LOOP = LoopSettings()
MACHINE = TrainingMachine(workers=0, checkpoint_every=100)


def settings(**changes):
    given = {
        "recipe": "paper",
        "start": "encoder",
        "maximum": 10.0,
        "epochs": 20,
        "batch": 3,
        "learning_rate": 1e-2,
        "reduction": 5.0,
        "height": 42,
        "width": 56,
    }
    if changes.get("recipe") == "v2":
        given["width"] = 42
    return MetricSettings(**(given | changes))


def learn(pool, *given):
    return partial(train.train_metric, pool, *given, machine=MACHINE)


@pytest.mark.parametrize("total", [7, 40, 333])
def test_one_cycle_is_that_of_torch(total):
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=1.0, betas=(0.9, 0.999))
    peer = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.61e-4, total_steps=total, pct_start=0.7, div_factor=1, final_div_factor=1e4
    )
    for step in range(total):
        ours = train.one_cycle({"base_lr": 1.61e-4}, step, total)
        group = optimizer.param_groups[0]
        assert ours["lr"] == pytest.approx(group["lr"], rel=1e-9)
        assert ours["betas"] == pytest.approx(group["betas"], rel=1e-9)
        optimizer.step()
        if step < total - 1:
            peer.step()


def test_polynomial_decay_is_that_of_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=5e-6)
    peer = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=30, power=0.9)
    for step in range(30):
        found = train.polynomial_decay({"base_lr": 5e-6}, step, 30)["lr"]
        assert found == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        peer.step()


def test_groups_are_those_of_the_released_fine_tuning():
    model = train.initial_metric_model("none", "tiny", "indoor", settings(), 0)
    released = settings(learning_rate=1.61e-4, reduction=50.0)
    groups = {group["part"]: group for group in train.metric_groups(model, released)}
    assert {part: group["lr"] for part, group in groups.items()} == pytest.approx(
        {"encoder": 3.22e-6, "position_embedding": 3.22e-6, "decoder": 3.22e-6, "head": 1.61e-4}
    )
    assert len(groups["position_embedding"]["params"]) == 1
    assert len(groups["head"]["params"]) == 46
    members = [one for group in groups.values() for one in group["params"]]
    assert len(members) == len(set(map(id, members))) == sum(one.requires_grad for one in model.parameters())


def test_the_start_is_the_encoder_or_the_whole_of_the_relative_model(tmp_path):
    relative = DepthAnything("tiny", seed=9)
    relative.save(tmp_path)
    for start in ("encoder", "all"):
        model = train.initial_metric_model(tmp_path, "tiny", "indoor", settings(start=start), 0)
        pairs = zip(model.encoder.state_dict().values(), relative.encoder.state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        same = torch.equal(model.decoder.projects[0].weight, relative.decoder.projects[0].weight)
        assert same == (start == "all")


def test_the_second_recipe_starts_as_its_code_does(tmp_path):
    second = settings(recipe="v2", learning_rate=5e-5, reduction=10.0)
    model = train.initial_metric_model("none", "tiny", "indoor", second, 0)
    assert (model.version, model.blocks, model.input_size) == ("v2", list(VARIANTS["tiny"].out_indices("spread")), 42)
    groups = {group["part"]: group["lr"] for group in train.metric_groups(model, second)}
    assert groups == pytest.approx({"encoder": 5e-6, "position_embedding": 5e-6, "decoder": 5e-5})
    model.save(tmp_path / "model")
    again = MetricDepth.load(tmp_path / "model")
    assert (again.version, again.input_size, again.maximum) == ("v2", 42, 10.0)
    DepthAnything("tiny").save(tmp_path / "first")
    with pytest.raises(BadCheckpoint, match="set start: encoder"):
        train.initial_metric_model(tmp_path / "first", "tiny", "indoor", settings(recipe="v2", start="all"), 0)
    with pytest.raises(ValueError, match="takes squares"):
        MetricSettings(recipe="v2", height=42, width=56)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_from_midas_only_the_encoder_is_another_and_it_learns(pools, tmp_path, kind):
    write_midas(tmp_path / "midas", kind)
    start = partial(train.initial_metric_model, tmp_path / "midas", "tiny", "indoor")
    model, ours = start(settings(), 0), train.initial_metric_model("none", "tiny", "indoor", settings(), 0)
    for name, weight in ours.state_dict().items():
        assert name.startswith("encoder.") or torch.equal(weight, model.state_dict()[name])
    assert isinstance(start(settings(start="all"), 0).decoder, OwnDecoder)
    with pytest.raises(BadCheckpoint, match="set recipe: paper"):
        start(settings(recipe="v2"), 0)
    run = learn(pools[0], tmp_path / "midas", "tiny", "indoor", settings(epochs=10), LOOP, 1)
    trained, history = run(tmp_path / "work", lambda step, metrics: None)
    assert history.recent("abs_rel", 5) < 0.7 * history.rows[0][1 + history.columns.index("abs_rel")]
    moved = [not torch.equal(a, b) for a, b in zip(model.encoder.parameters(), trained.encoder.parameters())]
    assert np.mean(moved) > 0.9


@pytest.mark.parametrize(("recipe", "form"), [("paper", "zoedepth"), ("v2", "second_version")])
def test_the_loss_is_over_the_pixels_of_the_whole_batch_at_the_size_of_the_labels(pools, recipe, form):
    model = train.initial_metric_model("none", "tiny", "indoor", settings(recipe=recipe), 0)
    batch = metric_batch(pools[0], 3, 3, settings(), 6.0, 0)
    with torch.no_grad():
        found = values(train.metric_terms(form), train.metric_output(model, batch))["silog"]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = (batch["images"] - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    with torch.no_grad():
        predicted = nn.Upsample(size=(48, 64), mode="bilinear", align_corners=True)(model(images)[:, None])[:, 0]
    assert float(found) == pytest.approx(float(silog_loss(predicted, batch["depth"], batch["valid"], form)), rel=1e-5)


@pytest.mark.parametrize("recipe", [pytest.param("paper", marks=pytest.mark.slow), "v2"])
def test_meters_are_learned_and_a_second_run_gives_the_same(pools, tmp_path, recipe):
    run = learn(pools[0], "none", "tiny", "indoor", settings(recipe=recipe), LOOP, 1)
    model, history = run(tmp_path / "a", lambda step, metrics: None)
    first = history.rows[0][1 + history.columns.index("abs_rel")]
    assert history.recent("abs_rel", 5) < 0.5 * first
    again, _ = run(tmp_path / "b", lambda step, metrics: None)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("reader", "folder", "maximum", "crop"),
    [("nyu", "nyu_depth_v2/sync", 10.0, "none"), ("kitti", "kitti", 80.0, "kitti_benchmark")],
)
def test_real_samples_are_trained_on_and_measured(tmp_path, samples, reader, folder, maximum, crop):
    chosen = readers.get(reader)
    limits = {"max_side": 1300, "minimum_side": 32, "samples_per_shard": 4, "workers": 1}
    data = tmp_path / "data" / "metric" / reader
    collect_source(chosen, samples / folder, chosen.options(), tmp_path / "scratch", data, **limits)
    pool = SamplePool(tmp_path / "data", "metric", {reader: {"samples": 2}}, None)
    few = settings(maximum=maximum, epochs=15, batch=2, width=98, crop=crop, brightness=0.1)
    model, history = learn(pool, "none", "tiny", reader, few, LOOP, 1)(tmp_path / "work", lambda *_: None)
    first = history.rows[0][1 + history.columns.index("abs_rel")]
    assert history.recent("abs_rel", 3) < first
    cases = CollectedCases(SourceFolder(data))
    table, skipped = evaluate({"ours": of_metric(model)}, cases, protocols.get(f"{reader}/zoedepth"), lambda: None)
    assert len(table) == 2 and not skipped
    assert table["abs_rel"].between(0, 2).all()


def test_labels_in_millimeters_are_refused_before_the_first_step(tmp_path):
    for number in range(4):
        ramp = np.linspace(758, 5267, 40 * 56).reshape(40, 56).astype(np.uint16)
        for name, image in (("rgb", np.zeros((40, 56, 3), np.uint8)), ("depth", ramp + number)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / name / f"{number}.png")
    reader = readers.get("rgbd_folder")
    options = reader.options("rgb/*.png", "depth/*.png", unit=1.0)
    limits = {"max_side": 1300, "minimum_side": 32, "samples_per_shard": 4, "workers": 1}
    collect_source(reader, tmp_path, options, tmp_path / "scratch", tmp_path / "data" / "metric" / "mm", **limits)
    pool = SamplePool(tmp_path / "data", "metric", {"mm": {"samples": 4}}, None)
    with pytest.raises(UserError, match=r"metric indoor: hardly a pixel .* 0\.00% in 4 images.* 10 m \(maximum\)"):
        learn(pool, "none", "tiny", "indoor", settings(), LOOP, 1)(tmp_path / "work", lambda *_: None)
    assert not (tmp_path / "work").exists()
    assert learn(pool, "none", "tiny", "far", settings(maximum=6000.0, epochs=1), LOOP, 1)(
        tmp_path / "two", lambda *_: None
    )


@pytest.mark.parametrize("recipe", ["paper", "v2"])
def test_held_out_images_are_measured_in_meters_without_augmentation(pools, recipe):
    wanted = settings(recipe=recipe)
    validation = train.metric_validation(HeldOut(pools[0], ValidationSettings(fraction=0.5)), wanted, 14)
    model = train.initial_metric_model("none", "tiny", "indoor", wanted, 0)
    predict, errors = MetricPredictor(model), []
    with torch.no_grad():
        sums = sum(validation.score(model, validation.make(number)) for number in range(validation.images))
    for number in range(len(pools[0])):
        sample = pools[0].load(number)
        counts = (sample.target > 1e-3) & (sample.target < wanted.maximum)
        errors.append(np.mean(np.abs(predict(sample.image)[counts] / sample.target[counts] - 1)))
    assert validation.figures(sums)["abs_rel"] == pytest.approx(np.mean(errors), rel=1e-4)
