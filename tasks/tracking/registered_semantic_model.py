"""The registered segmentation model, as MLflow loads it: encoded images in, rasters of class labels out.

MLflow keeps this file beside the weights (models from code: no pickle) and runs it on loading, so it must work
from any folder: everything else comes from the installed package. One row of the input holds one image of any size
as a JPEG, PNG ... file in the binary column `image`; one row of the output holds its labels. Class names and palette
stand in the config.json beside the weights.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas
from mlflow.pyfunc import PythonModel, PythonModelContext


class RegisteredSemanticModel(PythonModel):
    """A segmentation model behind MLflow's signature; `classes` holds its class names and palette."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights of `artifacts/model` (config.json, model.safetensors), to the first GPU if there is one."""
        from depth_model.networks.device import inference_device
        from depth_model.semantic.heads.segmentation import Segmentation
        from depth_model.semantic.prediction.predictor import Segmenter

        model = Segmentation.load(context.artifacts["model"]).to(inference_device())
        self.classes, self.segmenter = model.classes, Segmenter(model)

    def predict(
        self, context: PythonModelContext, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        """Return one row per image: `labels` (uint8, row by row), `height`, `width` in pixels.

        At the size of the image, after its EXIF orientation. Raises MlflowException, status 400, for bytes that are
        no image.
        """
        from tasks.tracking.answers import decoded

        maps = [self.segmenter(image) for image in decoded(model_input["image"])]
        return pandas.DataFrame(
            {
                "labels": [labels.tobytes() for labels in maps],
                "height": [labels.shape[0] for labels in maps],
                "width": [labels.shape[1] for labels in maps],
            }
        )


MODEL = RegisteredSemanticModel()
mlflow.models.set_model(MODEL)
