"""The registered metric model, as MLflow loads it: encoded images in, rasters of meters out.

MLflow keeps this file beside the weights (models from code: no pickle) and runs it on loading, so it must work
from any folder: everything else comes from the installed package. One row of the input holds one image of any size
as a JPEG, PNG ... file in the binary column `image`; one row of the output holds its depth.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas
from mlflow.pyfunc import PythonModel, PythonModelContext


class RegisteredMetricModel(PythonModel):
    """A metric depth model behind MLflow's signature."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights of `artifacts/model` (config.json, model.safetensors), to the first GPU if there is one."""
        from depth_model.metric.heads.metric_depth import MetricDepth
        from depth_model.networks.device import inference_device

        self.model = MetricDepth.load(context.artifacts["model"]).to(inference_device())

    def predict(
        self, context: PythonModelContext, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        """Return one row per image: `depth` (little-endian float32, row by row), `height`, `width` in pixels.

        Depth is planar, in meters, at the size of the image (after its EXIF orientation); its range and what it was
        made for stand in the model's config.json. Raises MlflowException, status 400, for bytes that are no image.
        """
        from depth_model.metric.prediction.predictor import MetricPredictor
        from tasks.tracking.answers import decoded

        maps = MetricPredictor(self.model)(decoded(model_input["image"]))
        return pandas.DataFrame(
            {
                "depth": [depth.astype("<f4").tobytes() for depth in maps],
                "height": [depth.shape[0] for depth in maps],
                "width": [depth.shape[1] for depth in maps],
            }
        )


MODEL = RegisteredMetricModel()
mlflow.models.set_model(MODEL)
