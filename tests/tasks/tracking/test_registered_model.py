"""The champion as a user loads it: from another folder, by its alias, for images of mixed sizes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from PIL import Image

from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor
from tasks.tracking import mlflow_runs, registry

NAME = "depth-anything-student"
SHORT_SIDE = 56


def encoded(height, width, kind, seed):
    pixels = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


IMAGES = [encoded(60, 80, "PNG", 1), encoded(90, 50, "JPEG", 2), encoded(60, 80, "PNG", 3)]


LOAD = """
import sys
from pathlib import Path
import mlflow, numpy, pandas
store, out, *images = sys.argv[1:]
mlflow.set_tracking_uri(store)
model = mlflow.pyfunc.load_model("models:/depth-anything-student@champion")
table = pandas.DataFrame({"image": [Path(image).read_bytes() for image in images]})
for name, params in (("own", None), ("28", {"short_side": 28})):
    rows = model.predict(table, params=params)
    maps = [numpy.frombuffer(row.disparity, "<f4").reshape(row.height, row.width) for row in rows.itertuples()]
    numpy.savez(f"{out}/{name}.npz", *maps)
"""


@pytest.fixture(scope="module")
def elsewhere(registered, tmp_path_factory):
    """{working size asked for: the disparities that another process, in another folder, gets out of the registry}."""
    folder = tmp_path_factory.mktemp("elsewhere")
    paths = [folder / f"{index}.image" for index in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES):
        path.write_bytes(image)
    store = f"sqlite:///{registered / 'mlflow.db'}"
    command = [sys.executable, "-c", LOAD, store, str(folder), *map(str, paths)]
    environment = os.environ | {"PYTHONPATH": str(Path(registry.__file__).parents[2])}
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=120)
    found = {}
    for name in ("own", "28"):
        with numpy.load(folder / f"{name}.npz") as maps:
            found[name] = [maps[one] for one in maps.files]
    return found


def of_the_pipeline(registered, images, short_side):
    predictor = DepthPredictor(DepthAnything.load(registered / "models" / "student"), short_side=short_side)
    return predictor(images)


@pytest.mark.slow
def test_the_champion_gives_the_pipelines_disparity_for_images_of_mixed_sizes(registered, elsewhere):
    found = elsewhere["own"]
    expected = of_the_pipeline(registered, IMAGES, SHORT_SIDE)
    assert [disparity.shape for disparity in found] == [(60, 80), (90, 50), (60, 80)]
    for ours, theirs in zip(expected, found):
        assert theirs.dtype == numpy.float32
        numpy.testing.assert_array_equal(theirs, ours)
    assert found[0].std() > 0


@pytest.mark.slow
def test_another_working_size_can_be_asked_for(registered, elsewhere):
    found = elsewhere["28"][0]
    numpy.testing.assert_array_equal(found, of_the_pipeline(registered, IMAGES, 28)[0])
    assert not numpy.array_equal(found, elsewhere["own"][0])


def test_the_signature_says_what_goes_in_and_out(registered):
    from mlflow.models import get_model_info

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")
        patch.setenv("DVC_ROOT", str(registered))
        mlflow_runs.connect()
        signature = get_model_info(f"models:/{NAME}@champion").signature
    assert [(column.name, column.type.name) for column in signature.inputs] == [("image", "binary")]
    assert [column.name for column in signature.outputs] == ["disparity", "height", "width"]
    assert {spec.name: spec.default for spec in signature.params} == {"short_side": SHORT_SIDE}
