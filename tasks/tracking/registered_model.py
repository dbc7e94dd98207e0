"""The registered model, as MLflow loads it: encoded images in, disparity rasters out.

MLflow keeps this file beside the weights (models from code: no pickle) and runs it on loading, so it must work
from any folder: everything else comes from the installed package. One row of the input holds one image of any size
as a JPEG, PNG ... file in the binary column `image`; one row of the output holds its disparity.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas
from mlflow.pyfunc import PythonModel, PythonModelContext


class RegisteredDepthModel(PythonModel):
    """A depth model behind MLflow's signature."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights of `artifacts/model` (config.json, model.safetensors), to the first GPU if there is one."""
        from depth_model.networks import DepthAnything
        from depth_model.networks.device import inference_device

        self.model = DepthAnything.load(context.artifacts["model"]).to(inference_device())

    def predict(
        self, context: PythonModelContext, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        """Return one row per image: `disparity` (little-endian float32, row by row), `height`, `width` in pixels.

        Disparity has the size of the image (after its EXIF orientation), is >= 0 and larger when nearer, and is
        known up to scale and shift. `params["short_side"]` is the shorter side in pixels at which the network works.
        Raises MlflowException, status 400, for bytes that are no image and a side that the network cannot have.
        """
        from depth_model.prediction.predictor import DepthPredictor
        from tasks.tracking.answers import checked_side, decoded

        predictor = DepthPredictor(self.model, checked_side(params["short_side"], self.model.encoder.patch))
        maps = predictor(decoded(model_input["image"]))
        return pandas.DataFrame(
            {
                "disparity": [disparity.astype("<f4").tobytes() for disparity in maps],
                "height": [disparity.shape[0] for disparity in maps],
                "width": [disparity.shape[1] for disparity in maps],
            }
        )


MODEL = RegisteredDepthModel()
mlflow.models.set_model(MODEL)
