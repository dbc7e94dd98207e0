"""Mask2Former on the encoder's tokens: pixel decoder, queries and losses are those of the transformers library.

Its parts take any feature pyramid; here a simple one from the last four blocks (docs/paper.md 6). The library is an
optional extra and imported only where a model of this kind is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_model.networks.transformers_library import transformers_module
from depth_model.semantic.classes import IGNORE
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.semantic.heads.simple_pyramid import SimplePyramid

NO_OBJECT_WEIGHT = 0.1
LOSS_WEIGHTS = {"class": 2.0, "mask": 5.0, "dice": 5.0}
"""Weights of the losses, and of the costs by which labels are matched to queries (docs/paper.md 6)."""
NAMES = {"class": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}


@dataclass(frozen=True)
class QueryOutput:
    """What queries say after each decoder layer, the untrained start first.

    `classes`: logits (B, Q, C + 1), the last one for no object; `masks`: logits (B, Q, h, w).
    """

    classes: list[Tensor]
    masks: list[Tensor]


class Mask2FormerHead(nn.Module):
    """Queries that each name a class and a mask, from four maps of `channels` channels; `seed` draws the weights.

    The maps all have the size of the patch grid, or with `pyramid` are those of a pyramid, finest first. Raises
    UserError.
    """

    def __init__(
        self, channels: int, classes: int, settings: Mask2FormerSettings, seed: int, pyramid: bool = False
    ) -> None:
        super().__init__()
        self.settings, self.number_of_classes = settings, classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.pyramid = nn.Identity() if pyramid else SimplePyramid(channels)
            parts = _parts(channels, classes, settings)
        self.pixel_decoder, self.transformer, self.classifier = parts.pixel_decoder, parts.transformer, parts.classifier

    def forward(self, maps: Sequence[Tensor]) -> QueryOutput:
        """Return what the queries say of four maps (B, D, h, w), masks at the size of the finest map."""
        pixels = self.pixel_decoder(
            self.pyramid(maps), output_attentions=False, output_hidden_states=False, return_dict=True
        )
        decoded = self.transformer(pixels.multi_scale_features, pixels.mask_features)
        classes = [self.classifier(state.transpose(0, 1)) for state in decoded.intermediate_hidden_states]
        return QueryOutput(classes, list(decoded.masks_queries_logits))


def query_scores(output: QueryOutput, size: tuple[int, int]) -> Tensor:
    """Return scores (B, C, H, W) >= 0 at `size`: every query's class probabilities, spread by its mask."""
    classes = output.classes[-1].float().softmax(-1)[..., :-1]
    masks = functional.interpolate(output.masks[-1].float(), size=size, mode="bilinear", align_corners=False)
    return torch.einsum("bqc,bqhw->bchw", classes, masks.sigmoid())


def query_losses(output: QueryOutput, labels: Tensor, criterion: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return the losses `class`, `mask` and `dice` of a batch, each summed over decoder layers (docs/paper.md 6).

    `labels` are uint8 (B, H, W), 255 = ignore; the classes of a picture are the objects that queries are matched to,
    anew in every layer. Points are drawn from `seed` alone. A batch without any label has no mask to compare.
    """
    with torch.autocast(labels.device.type, enabled=False), torch.random.fork_rng(_devices(labels)):
        torch.manual_seed(seed)
        classes, masks = objects(labels)
        layers = zip(output.classes, output.masks)
        terms = [criterion(mask.float(), logits.float(), masks, classes) for logits, mask in layers]
    return {name: torch.stack([term[theirs] for term in terms]).sum() for name, theirs in NAMES.items()}


def present_classes(labels: Tensor) -> Tensor:
    """Return bool (B, 255): which classes are in each picture of uint8 labels (B, H, W)."""
    found = torch.zeros(len(labels), IGNORE + 1, dtype=torch.bool, device=labels.device)
    return found.scatter_(1, labels.flatten(1).long(), True)[:, :IGNORE]


def objects(labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return per picture the classes in it, int64 (K,), and their masks, float32 (K, H, W), of labels (B, H, W)."""
    present = [found.nonzero()[:, 0] for found in present_classes(labels)]
    return present, [(one == found[:, None, None]).float() for one, found in zip(labels, present)]


def query_criterion(classes: int, settings: Mask2FormerSettings) -> nn.Module:
    """Return the library's matching and losses for `classes` classes; raises UserError."""
    library, config = _library(), mask2former_configuration(classes, settings)
    return library.Mask2FormerLoss(config, {})


def mask2former_configuration(classes: int, settings: Mask2FormerSettings) -> Any:
    """Return the library's configuration of a head of these sizes; raises ImportError without the library."""
    from transformers import Mask2FormerConfig

    return Mask2FormerConfig(
        feature_size=settings.width,
        mask_feature_size=settings.width,
        hidden_dim=settings.width,
        encoder_feedforward_dim=settings.feedforward,
        dim_feedforward=settings.feedforward,
        encoder_layers=settings.pixel_layers,
        decoder_layers=settings.decoder_layers + 1,  # the library counts the start, before any layer, as one
        num_attention_heads=settings.heads,
        num_queries=settings.queries,
        num_labels=classes,
        train_num_points=settings.points,
        no_object_weight=NO_OBJECT_WEIGHT,
        class_weight=LOSS_WEIGHTS["class"],
        mask_weight=LOSS_WEIGHTS["mask"],
        dice_weight=LOSS_WEIGHTS["dice"],
    )


def _devices(tensor: Tensor) -> list[torch.device]:
    return [tensor.device] if tensor.device.type == "cuda" else []


def _parts(channels: int, classes: int, settings: Mask2FormerSettings) -> Any:
    """Return the library's parts in one module, initialized as it initializes its own model."""
    library, config = _library(), mask2former_configuration(classes, settings)

    class Parts(library.Mask2FormerPreTrainedModel):
        @classmethod
        def is_custom_code(cls) -> bool:
            # else the library skips what it draws for whole modules: offsets of the deformable attention, mask MLP
            return False

        def __init__(self) -> None:
            super().__init__(config)
            self.pixel_decoder = library.Mask2FormerPixelDecoder(config, [channels] * 4)
            self.transformer = library.Mask2FormerTransformerModule(settings.width, config)
            self.classifier = nn.Linear(settings.width, classes + 1)
            self.post_init()

    return Parts()


def _library() -> Any:
    return transformers_module("mask2former.modeling_mask2former", "a Mask2Former head", "set head: linear")
