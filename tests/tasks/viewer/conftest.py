"""The real viewer, served in this process, with tiny models, and pictures and a video to drop."""

from __future__ import annotations

import argparse
import threading

import cv2
import numpy as np
import pytest
import uvicorn
from PIL import Image

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import DepthAnything
from depth_model.shards import decoding
from tasks.commands import app
from tasks.commands.shared import listening
from tasks.viewer.server import application
from tasks.viewer.session import Session

SIZE = 48, 64
"""Height and width of what is dropped."""


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with a relative model and a metric one."""
    folder = tmp_path_factory.mktemp("models")
    DepthAnything("tiny", seed=1).save(folder / "relative")
    MetricDepth(DepthAnything("tiny", seed=1), "bins", 10.0, input_size=(42, 56), seed=2).save(folder / "metric")
    return folder


@pytest.fixture(scope="session")
def pixels():
    """A picture, smooth enough for JPEG and videos to keep."""
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="session")
def photo(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("photo") / "a photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory, pixels):
    """Three frames; each is the picture moved by a quarter."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, SIZE[::-1])
    for number in range(3):
        writer.write(np.roll(pixels, 16 * number, axis=1)[:, :, ::-1])
    writer.release()
    return path


@pytest.fixture(scope="session")
def viewer(tmp_path_factory, models):
    """The address of a viewer that takes files of 100 kB, of 10 MB decoded."""
    parser = argparse.ArgumentParser()
    app.add(parser.add_subparsers())
    options = ["--model", str(models / "relative"), "--short-side", "56", "--largest", "100kB"]
    given = parser.parse_args(["app", *options])
    bound = listening(0)
    port = bound.getsockname()[1]
    with decoding.limited_to(10**7):
        served = application(Session(given, tmp_path_factory.mktemp("session")), port, "secret")
        server = uvicorn.Server(uvicorn.Config(served, log_level="error", access_log=False, ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        yield f"http://127.0.0.1:{port}/secret/"
        server.should_exit = True
        thread.join(30)
    bound.close()
