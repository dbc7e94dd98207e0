"""The sections of params.yaml on fine-tuning, and on what fine-tuned models are measured on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.settings.sections import NotNegative, Positive, PositiveNumber, Section, Side, known_protocol


class FinetuneMetric(Section):
    """Fine-tuning to metres on the metric source `source`: paper section 4.3.

    `initial` is what it starts from: `student`, `teacher`, weights as in `encoder.weights`, or a folder of MiDaS;
    `start` says whether the decoder is taken over too.
    """

    source: str
    initial: str
    start: Literal["encoder", "all"]
    head: Literal["bins", "sigmoid"]
    maximum: PositiveNumber
    epochs: PositiveNumber
    batch: Positive
    learning_rate: PositiveNumber
    reduction: PositiveNumber
    weight_decay: Annotated[float, Field(ge=0)]
    gradient_clip: PositiveNumber
    height: Side
    width: Side
    crop: Literal["none", "kitti_benchmark"]
    brightness: Annotated[float, Field(ge=0, lt=1)]
    strength: PositiveNumber = 300.0


class EvaluateMetric(Section):
    """Which metric source the metric models are measured on, and how: `protocol` as `<set>/<variant>`."""

    source: str
    protocol: str

    @model_validator(mode="after")
    def _metric_protocol(self) -> EvaluateMetric:
        if not known_protocol(self.protocol).is_metric:
            raise ValueError(f"protocol {self.protocol!r} aligns predictions; name one of metric depth (nyu/zoedepth)")
        return self


class Mask2Former(Section):
    """Sizes of a Mask2Former head (`depth_model.semantic.heads.mask2former.Mask2FormerSettings`)."""

    width: Annotated[int, Field(gt=0, multiple_of=32)]
    queries: Positive
    heads: Positive
    pixel_layers: Positive
    decoder_layers: Positive
    feedforward: Positive
    points: Positive

    @model_validator(mode="after")
    def _heads_fit(self) -> Mask2Former:
        if self.width % (2 * self.heads):
            raise ValueError(f"width = {self.width}: must be a multiple of twice the {self.heads} heads")
        return self


class FinetuneSemantic(Section):
    """Fine-tuning to segmentation on the semantic source `source`: paper section 4.4.

    `initial` is what the encoder starts from: `student`, `teacher`, weights as in `encoder.weights`, or a folder of
    MiDaS.
    """

    source: str
    initial: str
    head: Literal["linear", "mask2former"]
    mask2former: Mask2Former | None = None
    crop: Side
    iterations: Positive
    batch: Positive
    learning_rate: PositiveNumber
    reduction: PositiveNumber
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: NotNegative
    gradient_clip: PositiveNumber

    @model_validator(mode="after")
    def _parts_agree(self) -> FinetuneSemantic:
        if (self.head == "mask2former") != (self.mask2former is not None):
            raise ValueError("mask2former: give the sizes of the head if, and only if, head is mask2former")
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup = {self.warmup}: must be below the {self.iterations} iterations")
        return self


class EvaluateSemantic(Section):
    """Which semantic source the models with its classes are measured on, and how: docs/paper.md 4.3."""

    source: str
    short_side: Side
    stride: Positive
    multi_scale: bool
