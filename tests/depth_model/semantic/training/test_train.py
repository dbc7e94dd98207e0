"""Segmentation: batches follow the released configuration, and classes are learned."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from midas_folders import KINDS, write_midas
from PIL import Image
from sklearn.metrics import accuracy_score

from depth_model import readers
from depth_model.encoders.midas import MidasEncoder
from depth_model.errors import BadInput, UserError
from depth_model.networks import build_encoder
from depth_model.reading.collecting import collect_source
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.semantic.training import train
from depth_model.semantic.training.augmentation import PADDING, scaled_size, semantic_crop
from depth_model.semantic.training.batches import semantic_batch
from depth_model.semantic.training.settings import SemanticSettings
from depth_model.shards.pool import SamplePool
from depth_model.training.batches import network_input
from depth_model.training.optimizers import parameter_groups
from depth_model.training.sampling import Share
from depth_model.training.settings import LoopSettings, TrainingMachine, ValidationSettings
from depth_model.training.validation import HeldOut

SIDE = 42
SMALL = Mask2FormerSettings(64, 8, 4, 1, 1, 64, 64)
MACHINE = TrainingMachine(workers=0)
COLORS = {0: (200, 60, 60), 2: (80, 140, 230), 149: (60, 190, 70)}


def settings(head, steps, rate):
    chosen = {"head": "linear"} if head == "linear" else {"mask2former": head}
    rates = {"learning_rate": rate, "reduction": 2.0, "gradient_clip": 1.0}
    return SemanticSettings(**chosen, **rates, crop=SIDE, iterations=steps, batch=3, warmup=5)


def scene(number, height=56, width=70):
    """A picture of three colors, and its labels in ADE20K's form: class + 1, 0 for other."""
    generator = np.random.default_rng(number)
    labels = np.zeros((height, width), np.uint8)
    horizon = int(generator.integers(20, 36))
    labels[:horizon], labels[horizon:] = 3, 1
    labels[horizon : horizon + 14, 10 : int(generator.integers(30, 50))] = 150
    image = np.zeros((height, width, 3), np.float64)
    for label, color in COLORS.items():
        image[labels == label + 1] = color
    labels[:2] = 0
    return np.clip(image + generator.normal(0, 4, image.shape), 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ade")
    root = folder / "ADEChallengeData2016"
    for number in range(6):
        for part, content in zip(("images", "annotations"), scene(number)):
            path = root / part / "training" / f"ADE_train_{number:08d}.{'jpg' if part == 'images' else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path, quality=95)
    reader = readers.get("ade20k")
    result = folder / "data" / "semantic" / "ade"
    collect_source(
        reader,
        root,
        reader.options(),
        folder / "scratch",
        result,
        max_side=256,
        minimum_side=8,
        samples_per_shard=4,
        workers=1,
    )
    return SamplePool(folder / "data", "semantic", {"ade": {"samples": 6}})


def test_labels_come_through_collecting_as_the_reader_gave_them(pool):
    for number in range(6):
        stored = scene(number)[1]
        assert np.array_equal(pool.semantic(number), np.where(stored == 0, 255, stored - 1))


def test_a_batch_is_a_function_of_the_step_and_its_shares_make_it_up(pool):
    make = partial(semantic_batch, pool, 3, 4, SIDE, 150)
    whole, again, later = make(5), make(5), make(6)
    assert torch.equal(whole["images"], again["images"]) and torch.equal(whole["labels"], again["labels"])
    assert whole["points_seed"] == again["points_seed"] != later["points_seed"]
    parts = [make(5, Share(number, 2)) for number in range(2)]
    for name in ("images", "labels"):
        assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])
    assert set(whole["labels"].unique().tolist()) <= {0, 2, 149, 255}


def test_labels_of_more_classes_than_the_model_has_are_refused(pool):
    with pytest.raises(BadInput, match="label 149, of 19 classes"):
        for step in range(6):
            semantic_batch(pool, 0, 2, SIDE, 19, step)


def test_pictures_without_a_class_are_refused_before_the_first_step(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(SamplePool, "semantic", lambda self, number: np.full((40, 60), 255, np.uint8))
    given = (pool, "none", "tiny", class_lists()["ade20k"], settings("linear", 9, 1e-3), LoopSettings(), 0)
    with pytest.raises(UserError, match=r"semantic ade20k: hardly a pixel .* 0\.00% in 6 images"):
        train.train_semantic(*given, tmp_path / "work", lambda *_: None, MACHINE)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "shape, scale, wanted",
    [((512, 683), 1.0, (896, 1195)), ((1024, 2048), 2.0, (1792, 3584)), ((100, 1000), 1.0, (358, 3584))],
)
def test_the_scale_is_of_the_shorter_side_and_bounded_by_the_longer(shape, scale, wanted):
    assert scaled_size(shape, 896, scale) == wanted


def test_crops_move_image_and_labels_alike_and_are_padded():
    # Blocks of 8 pixels, whose color says their class: distortion cannot mix them up.
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (8, 10)), np.ones((8, 8))).astype(np.uint8)
    image = np.repeat((labels * 255)[..., None], 3, -1)
    padded = 0
    for seed in range(20):
        shown, classes = semantic_crop(image, labels, SIDE, np.random.default_rng(seed))
        assert shown.shape == (SIDE, SIDE, 3) and classes.shape == (SIDE, SIDE)
        outside = classes == 255
        padded += outside.any()
        assert (shown[outside] == PADDING).all()
        agree = (shown.astype(int).sum(-1) > 350)[~outside] == (classes == 1)[~outside]
        assert agree.mean() > 0.9  # but for the blurred borders of blocks
    assert padded


def test_crops_avoid_a_class_that_takes_up_three_quarters():
    # A strip of other classes at one end of a wide picture: most places for a crop miss it.
    labels = np.zeros((64, 256), np.uint8)
    labels[:, :40] = np.arange(40) // 10 + 1
    image = np.zeros((64, 256, 3), np.uint8)
    found = [semantic_crop(image, labels, SIDE, np.random.default_rng(seed))[1] for seed in range(40)]
    shares = [max(np.bincount(one[one != 255])) / (one != 255).sum() for one in found]
    assert np.mean(np.array(shares) < 0.75) > 0.5  # a blind crop: about a quarter


def test_the_rate_rises_from_a_millionth_and_falls_to_nothing_as_torch_has_it():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-5)
    rising = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-6, total_iters=5)
    falling = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=15, power=1.0)
    peer = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], [5])
    for step in range(20):
        found = train.warm_then_linear(5, {"base_lr": 3e-5}, step, 20)["lr"]
        assert found == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        peer.step()


def test_embeddings_and_norms_do_not_decay():
    model = Segmentation(build_encoder("tiny"), class_lists()["cityscapes"], SMALL, SIDE)
    groups = parameter_groups(model, 3e-6, 3e-5, 0.05)
    still = {id(one) for group in groups if group["weight_decay"] == 0 for one in group["params"]}
    free = {name for name, one in model.named_parameters() if id(one) in still}
    assert {name for name, _ in model.named_parameters() if "queries_" in name or "level_embed" in name} <= free
    assert "encoder.pos_embed" in free and "encoder.norm.weight" in free
    assert "head.classifier.weight" not in free
    assert {group["lr"] for group in groups if group["part"] == "encoder"} == {3e-6}


def test_counts_make_the_losses_of_parts_those_of_the_whole(pool):
    model = Segmentation(build_encoder("tiny"), class_lists()["ade20k"], "linear", SIDE).eval()
    whole = semantic_batch(pool, 0, 4, SIDE, 150, 0)
    parts = [semantic_batch(pool, 0, 4, SIDE, 150, 0, Share(number, 2)) for number in range(2)]
    cross_entropy = train.pixel_terms()[0]
    with torch.no_grad():
        counts = [int(cross_entropy.samples(part)) for part in parts]
        losses = [float(cross_entropy.value(train.pixel_output(model, part))) for part in parts]
        wanted = float(cross_entropy.value(train.pixel_output(model, whole)))
    assert np.average(losses, weights=counts) == pytest.approx(wanted, rel=1e-5)
    for term in train.mask_terms(8):
        assert sum(float(term.samples(part)) for part in parts) == pytest.approx(float(term.samples(whole)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_three_colors_are_learned_from_midas_too(pool, tmp_path, kind):
    write_midas(tmp_path / "midas", kind)
    learn = partial(train.train_semantic, pool, str(tmp_path / "midas"), "tiny", class_lists()["ade20k"])
    given = settings("linear", 60, 3e-3), LoopSettings(), 0, tmp_path / "work"
    model, history = learn(*given, lambda step, found: None, MACHINE)
    assert isinstance(model.encoder, MidasEncoder)
    assert history.recent("pixel_accuracy", 5) > 0.8


@pytest.mark.parametrize("head, steps, rate", [("linear", 60, 3e-3), (SMALL, 60, 2e-3)])
def test_three_colors_are_learned(pool, tmp_path, head, steps, rate):
    given = settings(head, steps, rate), LoopSettings(), 0
    learn = partial(train.train_semantic, pool, "none", "tiny", class_lists()["ade20k"], *given)
    model, _ = learn(tmp_path, lambda step, found: None, MACHINE)
    batch = semantic_batch(pool, 9, 6, SIDE, 150, 0)
    with torch.no_grad():
        predicted = model.eval()(network_input(batch["images"])).argmax(1)
    inside = batch["labels"] != 255
    assert accuracy_score(batch["labels"][inside], predicted[inside]) > 0.8


def test_held_out_images_are_measured_by_the_miou_of_all_their_pixels(pool):
    classes = class_lists()["ade20k"]
    model = Segmentation(build_encoder("tiny", "none", 0), classes, "linear", SIDE)
    validation = train.semantic_validation(HeldOut(pool, ValidationSettings(fraction=0.5)), SIDE, 14, len(classes))
    sums, seen, true = 0, [], []
    with torch.no_grad():
        for number in range(validation.images):
            batch = validation.make(number)
            sums = sums + validation.score(model, batch)
            seen.append(model(network_input(batch["images"]))[0].argmax(0).numpy().ravel())
            true.append(batch["labels"].numpy().ravel())
    seen, true = np.concatenate(seen), np.concatenate(true)
    seen, true = seen[true != 255], true[true != 255]
    wanted = [((seen == one) & (true == one)).sum() / ((seen == one) | (true == one)).sum() for one in {*seen, *true}]
    assert validation.figures(sums)["miou"] == pytest.approx(np.mean(wanted))
    assert np.isnan(validation.figures(0 * sums)["miou"])
