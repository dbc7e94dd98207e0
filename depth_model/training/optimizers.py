"""AdamW for an encoder that is pre-trained and a decoder that is not, and the decay of its learning rates.

Paper 3.1: the decoder learns ten times as fast as the encoder; both rates fall linearly. Weight decay and betas are
not published (docs/paper.md 2.1); decay leaves out what it should not shrink: norms, biases, position embeddings,
class and mask tokens, LayerScale, and the embeddings of queries and levels of Mask2Former (docs/paper.md 6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

BETAS = (0.9, 0.999)
_TOKENS = ("pos_embed", "cls_token", "mask_token", "level_embed")
_MIDAS_POSITIONS = ("position_embeddings", "relative_position_bias_table")
_EMBEDDINGS = ("queries_embedder.weight", "queries_features.weight", "level_embed.weight")


def parameter_groups(
    model: nn.Module, encoder_learning_rate: float, decoder_learning_rate: float, weight_decay: float
) -> list[dict[str, object]]:
    """Return groups for AdamW over the trainable parameters of a model with `encoder` and `decoder`.

    At most four: encoder and decoder, each with `weight_decay` and without. Parameters outside the encoder
    learn at the decoder's rate. Beside what AdamW reads, a group holds its `part` (encoder or decoder) and
    `base_lr`, the rate from which a schedule starts.
    """
    rates = {"encoder": encoder_learning_rate, "decoder": decoder_learning_rate}
    groups: dict[tuple[str, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = "encoder" if name.startswith("encoder.") else "decoder"
            groups.setdefault((part, weight_decay if _decays(name, parameter) else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": rates[part], "base_lr": rates[part], "weight_decay": decay, "part": part}
        for (part, decay), parameters in groups.items()
    ]


def adamw(model: nn.Module, encoder_learning_rate: float, decoder_learning_rate: float, weight_decay: float) -> AdamW:
    """Return AdamW over the parameter groups of `model`."""
    return fused_adamw(parameter_groups(model, encoder_learning_rate, decoder_learning_rate, weight_decay))


def fused_adamw(groups: list[dict[str, Any]]) -> AdamW:
    """Return AdamW over parameter groups, in one pass over each parameter: a quarter of the time of torch's default.

    Every gradient must have the layout of its parameter, as autograd makes it.
    """
    return AdamW(groups, betas=BETAS, fused=True)


Schedule = Callable[[Mapping[str, Any], int, int], Mapping[str, Any]]
"""(parameter group, step from 0, number of steps) -> what the optimizer's group holds in that step, `lr` and more."""


def set_schedule(optimizer: Optimizer, schedule: Schedule, step: int, total: int) -> None:
    """Set every parameter group to what `schedule` says of `step` (from 0) of `total`."""
    for group in optimizer.param_groups:
        group.update(schedule(group, step, total))


def linear_decay(warmup: float, group: Mapping[str, Any], step: int, total: int) -> dict[str, float]:
    """Return the rate of a group at `step`: linear decay from `base_lr`, reaching 0 after `total` steps (paper 3.1).

    During the first `warmup` steps (a fraction of `total` if below 1; the paper has none) it also grows linearly from
    nearly 0.
    """
    rising = warmup * total if warmup < 1 else warmup
    growth = min(1.0, (step + 1) / rising) if rising else 1.0
    return {"lr": group["base_lr"] * (1 - step / total) * growth}


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and not name.endswith(_TOKENS + _MIDAS_POSITIONS + _EMBEDDINGS)
