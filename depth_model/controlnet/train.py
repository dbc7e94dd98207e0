"""Training of a ControlNet on a frozen base, and whether it follows its conditioning.

As diffusers' example of it: the mean squared error of the noise that the base and the ControlNet see in a noisy latent,
of which only the ControlNet learns. What is in a step is a function of the seed and the step, so that a killed training
goes on from its last checkpoint and ends in the same bytes. One process, one device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_model.controlnet.base import check_side, new_controlnet
from depth_model.controlnet.examples import Examples
from depth_model.controlnet.settings import ControlNetSettings
from depth_model.errors import UserError
from depth_model.networks.device import inference_device
from depth_model.progress import progress_bar
from depth_model.training.resume import newest_checkpoint, read_checkpoint, save_checkpoint
from depth_model.training.sampling import batch_indices

if TYPE_CHECKING:
    from diffusers import ControlNetModel, StableDiffusionPipeline

LEVELS = (0.25, 0.5, 0.75)
"""Of the noise, as shares of the base's steps, at which following is measured."""
_ROWS = 50


def train_controlnet(
    base: StableDiffusionPipeline,
    examples: Examples,
    settings: ControlNetSettings,
    scratch: Path,
    on_metrics: Callable[[int, Mapping[str, float]], None],
    checkpoint_every: int = 500,
) -> ControlNetModel:
    """Return a ControlNet trained on `examples` but for those that `held_out` names; continues from `scratch`.

    `on_metrics(step, {"loss": mean since the last call})` is told about fifty times. Raises UserError for fewer images
    than are held out and one more, and for a loss that is not finite.
    """
    learned = _learned(len(examples.pool), settings)
    check_side(base, settings.side)
    device, controlnet = inference_device(), new_controlnet(base, settings.seed)
    _frozen(base, device)
    controlnet.to(device).train()
    optimizer = torch.optim.AdamW(controlnet.parameters(), lr=settings.learning_rate, weight_decay=1e-2)
    finished, since = _resumed(controlnet, optimizer, scratch), []
    with progress_bar("controlnet", settings.steps, "steps", finished) as bar:
        while finished < settings.steps:
            picked = batch_indices((settings.seed, 0), finished, settings.batch, len(learned))
            loss = _loss(base, controlnet, examples, learned[picked], settings, finished)
            if not torch.isfinite(loss):
                raise UserError(f"step {finished + 1}: the loss is not finite; lower --learning-rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(controlnet.parameters(), 1.0)
            optimizer.step()
            finished, since = finished + 1, [*since, float(loss.detach())]
            if finished % max(1, settings.steps // _ROWS) == 0:
                on_metrics(finished, {"loss": float(np.mean(since))})
                since = []
            if finished % checkpoint_every == 0 or finished == settings.steps:
                state = {"model": controlnet.state_dict(), "optimizer": optimizer.state_dict()}
                save_checkpoint(scratch, finished, state)
            bar.update()
    return controlnet.eval()


def held_out(samples: int, settings: ControlNetSettings) -> np.ndarray:
    """Return which of `samples` images are not learned from: a choice by the seed, in order."""
    shuffled = np.random.default_rng([settings.seed, 1]).permutation(samples)
    return np.sort(shuffled[: settings.held_out])


@torch.no_grad()
def following(
    base: StableDiffusionPipeline, controlnet: ControlNetModel, examples: Examples, settings: ControlNetSettings
) -> dict[str, float]:
    """Return the mean denoising loss on the images that are held out with their own depth (`right`), with that of the
    next image (`shuffled`) and without a ControlNet (`none`), at LEVELS of the same noise; the mean of shuffled minus
    right over `images`, and its standard error.

    Raises ValueError for fewer than two images.
    """
    chosen = held_out(len(examples.pool), settings)
    if len(chosen) < 2:
        raise ValueError(f"{len(chosen)} images held out: give at least two")
    images, depth, captions = examples.batch(chosen, np.random.default_rng([settings.seed, 2]))
    device = base.unet.device
    depth, text = depth.to(device), _embedded(base, captions)
    conditions = {"right": depth, "shuffled": depth.roll(1, dims=0), "none": None}
    losses = {name: [] for name in conditions}
    for number, level in enumerate(LEVELS):
        generator = torch.Generator().manual_seed(settings.seed + number)
        noisy, steps, wanted = _noisy(base, images, generator, level)
        for name, condition in conditions.items():
            found = _predicted(base, controlnet, noisy, steps, text, condition)
            losses[name].append((found - wanted).square().flatten(1).mean(dim=1).cpu())
    means = {name: torch.stack(found).mean(dim=0).double() for name, found in losses.items()}
    gain = means["shuffled"] - means["right"]
    figures = {name: float(found.mean()) for name, found in means.items()}
    error = float(gain.std() / len(gain) ** 0.5)
    return figures | {"difference": float(gain.mean()), "standard_error": error, "images": len(gain)}


def _learned(samples: int, settings: ControlNetSettings) -> np.ndarray:
    if samples <= settings.held_out:
        raise UserError(
            f"--held-out {settings.held_out}: there are {samples} images with pseudo labels; hold out fewer"
        )
    return np.setdiff1d(np.arange(samples), held_out(samples, settings))


def _frozen(base: StableDiffusionPipeline, device: torch.device) -> None:
    for part in (base.vae, base.unet, base.text_encoder):
        part.to(device).requires_grad_(False).eval()


def _resumed(controlnet: ControlNetModel, optimizer: torch.optim.Optimizer, scratch: Path) -> int:
    path = newest_checkpoint(scratch)
    if path is None:
        return 0
    state = read_checkpoint(path)
    controlnet.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["finished"]


def _loss(
    base: StableDiffusionPipeline,
    controlnet: ControlNetModel,
    examples: Examples,
    indices: np.ndarray,
    settings: ControlNetSettings,
    step: int,
) -> Tensor:
    draws = np.random.default_rng([settings.seed, 3, step])
    images, depth, captions = examples.batch(indices, draws)
    captions = ["" if draws.random() < settings.empty_captions else one for one in captions]
    generator = torch.Generator().manual_seed(int(draws.integers(2**31)))
    noisy, steps, wanted = _noisy(base, images, generator)
    found = _predicted(base, controlnet, noisy, steps, _embedded(base, captions), depth.to(base.unet.device))
    return functional.mse_loss(found.float(), wanted.float())


@torch.no_grad()
def _noisy(
    base: StableDiffusionPipeline, images: Tensor, generator: torch.Generator, level: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return noisy latents (B, 4, h, w) of `images`, the steps (B,) of their noise, drawn for each unless `level` says
    which, and what the base is to predict of them."""
    scheduler, device = base.scheduler, base.unet.device
    latents = base.vae.encode(images.to(device)).latent_dist.mean * base.vae.config.scaling_factor
    noise = torch.randn(latents.shape, generator=generator).to(device)
    last = scheduler.config.num_train_timesteps
    if level is None:
        steps = torch.randint(0, last, (len(images),), generator=generator)
    else:
        steps = torch.full((len(images),), int(level * last))
    steps = steps.to(device)
    if scheduler.config.prediction_type == "v_prediction":
        return scheduler.add_noise(latents, noise, steps), steps, scheduler.get_velocity(latents, noise, steps)
    return scheduler.add_noise(latents, noise, steps), steps, noise


@torch.no_grad()
def _embedded(base: StableDiffusionPipeline, captions: list[str]) -> Tensor:
    tokens = base.tokenizer(
        captions,
        padding="max_length",
        max_length=base.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return base.text_encoder(tokens.input_ids.to(base.unet.device))[0]


def _predicted(
    base: StableDiffusionPipeline,
    controlnet: ControlNetModel,
    noisy: Tensor,
    steps: Tensor,
    text: Tensor,
    condition: Tensor | None,
) -> Tensor:
    """Return what the base says of `noisy` latents, steered by the ControlNet with `condition`, if there is one."""
    added: dict[str, Any] = {}
    if condition is not None:
        down, middle = controlnet(noisy, steps, text, controlnet_cond=condition, return_dict=False)
        added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    return base.unet(noisy, steps, text, return_dict=False, **added)[0]
