"""Stable Diffusion as diffusers has it: the frozen base of a ControlNet, by folder, hub id, or tiny and random."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from depth_model.errors import UserError

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, StableDiffusionPipeline

TINY = "tiny"
"""The base that needs no file: networks as small as diffusers tests with, their weights drawn from one seed."""
_EMBEDDING = (16, 32, 96, 256)
"""Channels of what a ControlNet makes of its image, halved in size from one to the next."""


def load_base(name: str) -> StableDiffusionPipeline:
    """Return the base called `name`: TINY, or the folder or hub id of a Stable Diffusion 1 or 2.

    Weights are read from safetensors only. Raises UserError when diffusers is not installed or the base cannot be had.
    """
    diffusers = diffusers_library()
    if name == TINY:
        return _tiny(diffusers)
    try:
        base = diffusers.StableDiffusionPipeline.from_pretrained(
            name, safety_checker=None, requires_safety_checker=False, use_safetensors=True, low_cpu_mem_usage=False
        )
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"--base {name}: cannot be loaded ({reason}); give the folder of a Stable Diffusion in the layout of "
            f"diffusers, the id of one on a hub that can be reached, or {TINY}"
        ) from error
    base.scheduler = diffusers.DDIMScheduler.from_config(base.scheduler.config)  # trains and draws, without chance
    return base


def diffusers_library() -> Any:
    """Return the library diffusers; raises UserError without it."""
    try:
        import diffusers
    except ImportError as error:
        raise UserError(
            f"a ControlNet needs the library diffusers ({error}): pip install 'open-depth-anything[controlnet]'"
        ) from error
    diffusers.utils.logging.disable_progress_bar()
    return diffusers


def stride(base: StableDiffusionPipeline) -> int:
    """Return how many pixels of an image one latent of `base` stands for."""
    return 2 ** (len(base.vae.config.block_out_channels) - 1)


def check_side(base: StableDiffusionPipeline, side: int) -> None:
    """Raise UserError for pictures of `side` pixels that the networks of `base` cannot halve as often as they do."""
    step = stride(base) * 2 ** (len(base.unet.config.block_out_channels) - 1)
    if side % step:
        raise UserError(f"--side {side}: this base wants a multiple of {step}")


def new_controlnet(base: StableDiffusionPipeline, seed: int) -> Any:
    """Return the ControlNet that the training starts from: a copy of the encoder of the base, which changes nothing."""
    channels = _EMBEDDING[: 1 + round(math.log2(stride(base)))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return diffusers_library().ControlNetModel.from_unet(base.unet, conditioning_embedding_out_channels=channels)


def _tiny(diffusers: Any) -> StableDiffusionPipeline:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            sample_size=32,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=8,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(16, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=8,
        )
        letters = [chr(code) for code in range(33, 127)]
        words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
        text = CLIPTextConfig(
            vocab_size=len(words), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            bos_token_id=len(words) - 2, eos_token_id=len(words) - 1, pad_token_id=len(words) - 1,
        )  # fmt: skip
        encoder = CLIPTextModel(text)
        _center(vae)
    return diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=CLIPTokenizer(
            vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77
        ),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@torch.no_grad()
def _center(vae: AutoencoderKL) -> None:
    """Make the latents of a random `vae` what those of a trained one are: mean 0, deviation 1, hardly any noise."""
    pictures = functional.interpolate(torch.rand(16, 3, 4, 4) * 2 - 1, size=32, mode="bilinear")
    latents = vae.encode(pictures).latent_dist.mean
    half = len(vae.quant_conv.bias) // 2
    vae.quant_conv.bias[:half] -= latents.mean(dim=(0, 2, 3))
    vae.quant_conv.weight[half:], vae.quant_conv.bias[half:] = 0, -12
    vae.register_to_config(scaling_factor=float(1 / latents.std(dim=(0, 2, 3)).mean()))
