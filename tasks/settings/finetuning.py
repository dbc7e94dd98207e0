"""The sections of params.yaml on fine-tuning, and on what fine-tuned models are measured on."""

from __future__ import annotations

from dataclasses import dataclass

from depth_model.metric.training.settings import MetricSettings
from depth_model.semantic.training.settings import SemanticSettings
from depth_model.settings import Positive, setting
from tasks.settings.sections import known_protocol

INITIAL = "a folder of the repository: models/student, models/teacher, data/models/NAME"


@dataclass(frozen=True, kw_only=True)
class FinetuneMetric(MetricSettings):
    """Fine-tuning to meters on the metric source `source`: paper section 4.3.

    `initial` is the model that it starts from; `start` says whether its decoder is taken over too.
    """

    source: str = setting("of sources.metric")
    initial: str = setting(INITIAL, "models/student")


@dataclass(frozen=True, kw_only=True)
class EvaluateMetric:
    """Which metric source the metric models are measured on, and how: `protocol` as `<set>/<variant>`."""

    source: str = setting("of sources.metric")
    protocol: str = setting("<set>/<variant>, see docs/evaluation.md")

    def __post_init__(self) -> None:
        if not known_protocol(self.protocol).is_metric:
            raise ValueError(f"protocol {self.protocol!r} aligns predictions; name one of metric depth (nyu/zoedepth)")


@dataclass(frozen=True, kw_only=True)
class FinetuneSemantic(SemanticSettings):
    """Fine-tuning to segmentation on the semantic source `source`, from the encoder of the model `initial`: paper
    section 4.4."""

    source: str = setting("of sources.semantic")
    initial: str = setting(INITIAL, "models/student")


@dataclass(frozen=True, kw_only=True)
class EvaluateSemantic:
    """Which semantic source the models with its classes are measured on, and how (paper 4.4)."""

    source: str = setting("of sources.semantic")
    short_side: Positive = setting("pixels, whole patches (paper: 896)", 896)
    stride: Positive = setting("pixels between windows (paper: 426 for ADE20K, 518 for Cityscapes)", 518)
    multi_scale: bool = setting("", False)
