"""The student's losses against a slow computation of the paper's equations, and its run from start to end."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from depth_model.errors import UserError
from depth_model.networks import DepthAnything, frozen_encoder
from depth_model.training import batches, student, teacher
from depth_model.training.settings import (
    FeatureAlignment,
    Perturbation,
    StudentSettings,
    TeacherSettings,
    TrainingMachine,
    TrainingSettings,
)
from depth_model.training.student import student_batch, student_output, student_terms, train_student
from depth_model.training.terms import values

SETTINGS = StudentSettings(
    encoder="tiny",
    epochs=12.0,
    labeled_per_batch=2,
    unlabeled_per_batch=4,
    encoder_learning_rate=1e-3,
    decoder_learning_rate=1e-3,
)
ALIGNMENT = FeatureAlignment(alpha=0.85, block=3)
TRAINING = TrainingSettings(crop=28)
MACHINE = TrainingMachine(workers=0, checkpoint_every=5)


@pytest.fixture(scope="module")
def step(pools):
    """A step whose batch mixes some images and leaves others, and holds a sample without a usable target."""
    for number in range(40):
        batch = student_batch(*pools, SETTINGS, 28, 3, number)
        mixed = (~batch["unlabeled"]["box"].flatten(1).all(dim=1)).sum()
        if batch["unlabeled"]["unusable"] == 1 and mixed == 2:
            return number
    raise AssertionError("no such batch")


def normalized(values):
    """Zero lower median, unit mean absolute deviation: equation 2."""
    median = np.sort(values)[(len(values) - 1) // 2]
    return (values - median) / np.abs(values - median).mean()


def affine_invariant(prediction, target):
    return np.abs(normalized(prediction) - normalized(target))


def by_hand(model, frozen, batch, trim, alpha, block):
    """Equations 3, 8 and 9, image by image and region by region in numpy."""
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    images, box = batches.network_input(unlabeled["images"]), unlabeled["box"]
    count = len(images)
    on_labels, on_pseudo, on_features = [], [], []
    with torch.no_grad():
        for image, target, valid in zip(
            batches.network_input(labeled["images"]), labeled["disparity"], labeled["valid"], strict=True
        ):
            prediction = model(image[None])[0].numpy()
            on_labels.append(affine_invariant(prediction[valid], target[valid].numpy()).mean())
        for a in range(count):
            b = (a - 1) % count
            mixed = torch.where(box[a], images[a], images[b])[None]
            prediction = model(mixed)[0].numpy()
            residuals = []
            for region, owner in ((box[a].numpy(), a), (~box[a].numpy(), b)):
                region = region & unlabeled["valid"][owner].numpy()
                if region.sum() >= 10:
                    target = unlabeled["disparity"][owner].numpy()[region]
                    residuals.append(affine_invariant(prediction[region], target))
            if residuals:
                residuals = np.concatenate(residuals)
                on_pseudo.append(residuals[residuals < np.quantile(residuals, 1 - trim)].mean())
            ours, theirs = model.encoder(mixed, [block])[0][0], frozen(mixed, [block])[0][0]
            cosine = torch.nn.functional.cosine_similarity(ours, theirs, dim=1)
            away = 1 - cosine[cosine <= alpha]
            on_features.append(float(away.mean()) if len(away) else 0.0)
    return np.mean(on_labels), np.mean(on_pseudo), np.mean(on_features)


def disturbed_student():
    """A student whose encoder has moved away from the frozen one."""
    model, frozen = DepthAnything("tiny", seed=5), frozen_encoder("tiny", seed=5)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.encoder.blocks.parameters():
            parameter += 2 * parameter.abs().mean() * torch.randn(parameter.shape, generator=generator)
    return model, frozen


def losses(model, frozen, alignment, batch):
    terms = student_terms(0.1, TRAINING, aligned=alignment.images)
    return values(terms, student_output(model, frozen, alignment, batch))


def test_losses_are_those_of_the_paper(pools, step):
    batch = student_batch(*pools, SETTINGS, 28, 3, step)
    model, frozen = disturbed_student()
    terms = losses(model, frozen, dataclasses.replace(ALIGNMENT, alpha=0.6), batch)
    wanted = by_hand(model, frozen, batch, 0.1, 0.6, 3)
    found = [terms[name].item() for name in ("affine_invariant", "pseudo_label", "feature_alignment")]
    assert found == pytest.approx(wanted, rel=2e-4)
    assert found[2] > 0
    assert 0 < terms["feature_alignment/active_fraction"] < 1
    assert terms["unusable_targets"] == 1


def test_the_loss_is_the_average_of_the_three(undisturbed):
    history = undisturbed[2]
    row = dict(zip(history.columns, history.rows[-1][1:], strict=True))
    assert row["loss"] == pytest.approx(
        (row["affine_invariant"] + row["pseudo_label"] + row["feature_alignment"]) / 3, rel=1e-6
    )


def test_alignment_starts_at_exactly_zero(pools):
    batch = student_batch(*pools, SETTINGS, 28, 3, 0)
    model, frozen = DepthAnything("tiny", seed=5), frozen_encoder("tiny", seed=5)
    terms = losses(model, frozen, ALIGNMENT, batch)
    assert terms["feature_alignment"].item() == 0
    assert terms["feature_alignment/active_fraction"] == 0


def test_alignment_pulls_the_encoder_and_never_the_frozen_one(pools):
    batch = student_batch(*pools, SETTINGS, 28, 3, 0)
    model, frozen = disturbed_student()
    terms = losses(model, frozen, dataclasses.replace(ALIGNMENT, alpha=1.0), batch)
    terms["feature_alignment"].backward()
    assert model.encoder.blocks[0].attn.qkv.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.decoder.parameters())
    assert all(parameter.grad is None for parameter in frozen.parameters())


def test_labeled_images_are_not_perturbed(pools):
    part = student_batch(*pools, SETTINGS, 28, 3, 4)["labeled"]
    alone = batches.labeled_batch(pools[0], 3, 2, 28, 4)
    assert torch.equal(part["images"], alone["images"])


def started(monkeypatch, module, learn):
    """The run that `learn` of `module` starts, which does not take a step."""
    found = []
    with monkeypatch.context() as patched, pytest.raises(IndexError):
        patched.setattr(module, "train", lambda run, *_: found.append(run) or [][0])
        learn()
    return found[0]


def test_teacher_and_student_of_one_seed_share_neither_decoder_nor_order_nor_crops(pools, tmp_path, monkeypatch):
    alike = TeacherSettings(encoder="tiny", batch=2)
    rest = (TRAINING, 3, tmp_path, lambda *_: None, MACHINE)
    first = started(monkeypatch, teacher, lambda: teacher.train_teacher(pools[0], "none", alike, *rest))
    other = started(monkeypatch, student, lambda: train_student(*pools, "none", SETTINGS, ALIGNMENT, *rest))
    decoders = zip(first.model.decoder.parameters(), other.model.decoder.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in decoders if a.ndim > 1)  # biases start at the same constant
    ours = [(first.make_batch(step), other.make_batch(step)["labeled"]) for step in range(6)]
    assert [one["keys"] for one, _ in ours] != [two["keys"] for _, two in ours]


def trained(pools, folder, on_metrics=lambda *_: None, alignment=ALIGNMENT, training=TRAINING, machine=MACHINE):
    scratch = folder / "scratch"
    model, history = train_student(*pools, "none", SETTINGS, alignment, training, 3, scratch, on_metrics, machine)
    model.save(folder / "student")
    history.write(folder / "history.csv")
    weights = (folder / "student" / "model.safetensors").read_bytes()
    return weights, (folder / "history.csv").read_bytes(), history


@pytest.fixture(scope="module")
def undisturbed(pools, tmp_path_factory):
    return trained(pools, tmp_path_factory.mktemp("student"))


def test_it_learns_from_labels_and_pseudo_labels(undisturbed):
    history = undisturbed[2]
    assert history.rows[-1][0] == 21
    first = dict(zip(history.columns, history.rows[0][1:], strict=True))
    assert history.recent("affine_invariant", 4) < 0.9 * first["affine_invariant"]
    assert history.recent("pseudo_label", 4) < 0.9 * first["pseudo_label"]


def test_killed_and_resumed_it_ends_in_the_same_bytes(pools, tmp_path, undisturbed):
    def killer(finished, metrics):
        if finished == 13:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        trained(pools, tmp_path, killer)
    assert trained(pools, tmp_path, machine=dataclasses.replace(MACHINE, workers=1))[:2] == undisturbed[:2]


def test_alpha_changes_the_student(pools, tmp_path, undisturbed):
    strict = dataclasses.replace(ALIGNMENT, alpha=1.0)
    weights, _, history = trained(pools, tmp_path, alignment=strict)
    assert weights != undisturbed[0]
    assert history.recent("feature_alignment/active_fraction", 4) > 0.9


def test_bf16_ends_near_fp32(pools, tmp_path, undisturbed):
    _, _, history = trained(pools, tmp_path, training=dataclasses.replace(TRAINING, precision="bf16"))
    for term in ("affine_invariant", "pseudo_label"):
        assert history.recent(term, 5) == pytest.approx(undisturbed[2].recent(term, 5), rel=0.25)
    assert history.rows[0][history.columns.index("feature_alignment") + 1] == 0


@pytest.mark.parametrize(
    ("pseudo_labels", "images", "terms"),
    [
        (False, "none", ["affine_invariant"]),
        pytest.param(True, "none", ["affine_invariant", "pseudo_label"], marks=pytest.mark.slow),
        (True, "labeled", ["affine_invariant", "pseudo_label", "feature_alignment"]),
        pytest.param(False, "labeled", ["affine_invariant", "feature_alignment"], marks=pytest.mark.slow),
    ],
)
def test_an_ablation_averages_the_losses_that_are_left(pools, tmp_path, pseudo_labels, images, terms):
    settings = dataclasses.replace(SETTINGS, pseudo_labels=pseudo_labels)
    alignment = dataclasses.replace(ALIGNMENT, images=images, alpha=1.0)
    run = partial(train_student, *pools, "none", settings, alignment, TRAINING, 3, tmp_path, machine=MACHINE)
    _, history = run(lambda step, metrics: None)
    absent = {"affine_invariant", "pseudo_label", "feature_alignment"} - set(terms)
    assert not absent & set(history.columns)
    for found in history.rows:
        row = dict(zip(history.columns, found[1:], strict=True))
        assert row["loss"] == pytest.approx(sum(row[term] for term in terms) / len(terms), rel=1e-6)


def test_alignment_on_labeled_images_compares_those_tokens(pools, step):
    model, frozen = DepthAnything("tiny", seed=1), frozen_encoder("tiny", seed=2)
    batch = student_batch(*pools, SETTINGS, 28, 3, step)
    alignment = dataclasses.replace(ALIGNMENT, images="labeled", alpha=1.0)
    with torch.no_grad():
        terms = losses(model, frozen, alignment, batch)
        images = batches.network_input(batch["labeled"]["images"])
        ours, theirs = (one(images, [ALIGNMENT.block])[0] for one in (model.encoder, frozen))
        wanted = 1 - (ours * theirs).sum(-1) / (ours.norm(dim=-1) * theirs.norm(dim=-1))
    assert terms["feature_alignment"].item() == pytest.approx(wanted.mean().item(), rel=1e-4)


def test_the_labels_of_a_step_are_the_same_without_pseudo_labels(pools, step):
    whole = student_batch(*pools, SETTINGS, 28, 3, step)
    alone = student_batch(*pools, dataclasses.replace(SETTINGS, pseudo_labels=False), 28, 3, step)
    assert set(alone) == {"labeled"}
    assert torch.equal(whole["labeled"]["images"], alone["labeled"]["images"])


def test_without_labels_it_learns_from_pseudo_labels_alone(pools, tmp_path):
    plain = Perturbation(jitter_probability=0.0, blur_probability=0.0, cutmix_probability=0.0)
    settings = dataclasses.replace(SETTINGS, epochs=24.0, perturbation=plain)
    model, history = train_student(
        None, pools[1], "none", settings, ALIGNMENT, TRAINING, 3, tmp_path, lambda *_: None, MACHINE
    )
    row = dict(zip(history.columns, history.rows[-1][1:], strict=True))
    assert "affine_invariant" not in row
    assert row["loss"] == pytest.approx((row["pseudo_label"] + row["feature_alignment"]) / 2, rel=1e-6)
    assert row["pseudo_label"] < row["pseudo_label/constant"] <= 1 + 1e-6
    assert model.encoder.size == "tiny"


@pytest.mark.parametrize(
    ("settings", "alignment"),
    [
        ({"pseudo_labels": False}, {"images": "none"}),
        ({}, {"images": "labeled"}),
    ],
)
def test_without_labels_nothing_that_needs_them_is_done(pools, tmp_path, settings, alignment):
    changed = dataclasses.replace(SETTINGS, **settings), dataclasses.replace(ALIGNMENT, **alignment)
    with pytest.raises(UserError, match="there are no labeled images"):
        train_student(None, pools[1], "none", *changed, TRAINING, 3, tmp_path, lambda *_: None, MACHINE)


def test_a_student_that_starts_from_a_whole_model_is_held_near_its_own_encoder(pools, tmp_path):
    DepthAnything("tiny", seed=21).save(tmp_path / "start")
    settings = dataclasses.replace(SETTINGS, initial=str(tmp_path / "start"))
    (tmp_path / "scratch").mkdir()
    _, history = train_student(
        *pools, "none", settings, ALIGNMENT, TRAINING, 3, tmp_path / "scratch", lambda *_: None, MACHINE
    )
    row = dict(zip(history.columns, history.rows[0][1:], strict=True))
    assert row["feature_alignment"] == 0  # exactly, as the frozen encoder is the one that it starts with
