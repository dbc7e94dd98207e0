"""What the viewer keeps while it runs: the files dropped into it, the models asked for, and the depth they gave.

All of it lies in memory and in one temporary folder, the newest few of each kind. Serves nothing: `server` does.
"""

from __future__ import annotations

import argparse
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from depth_model.errors import UserError
from depth_model.media.point_cloud import camera
from depth_model.networks.variants import Version
from depth_model.prediction.predictor import rgb
from depth_model.reading.video import announced_frames, jpeg_frame
from depth_model.shards.images import encode_jpeg
from depth_model.shown import shown
from tasks.commands import predict_video, predictors, results
from tasks.commands.inputs import PICTURES, VIDEOS, is_video
from tasks.tracking.named_models import find_model

One = TypeVar("One")

FILES, DEPTHS, MODELS, CLIPS = 4, 4, 2, 2
"""How many of each are kept: two of a kind are compared, for two pages."""

SHOWN = 2048


class Gone(UserError):
    """Something that is not kept, or no longer."""


class Kept(Generic[One]):
    """The newest `most` of what is called `what`, each under a name that nobody can guess; `end` is called with one
    that is no longer kept."""

    def __init__(self, what: str, most: int, end: Callable[[One], None] = lambda one: None) -> None:
        self._what, self._most, self._end = what, most, end
        self._kept: OrderedDict[str, One] = OrderedDict()

    def add(self, one: One) -> str:
        name = secrets.token_urlsafe(12)
        self._kept[name] = one
        while len(self._kept) > self._most:
            self._end(self._kept.popitem(last=False)[1])
        return name

    def __getitem__(self, name: str) -> One:
        try:
            return self._kept[name]
        except KeyError:
            raise Gone(f"this {self._what} is no longer kept: ask for it again") from None


class Dropped(NamedTuple):
    """A file of the viewer's folder; `frames` is 0 for a picture."""

    path: Path
    frames: int


class Depth(NamedTuple):
    """Float32 `values` (H, W), meters when `metric` and else disparity, and the `image` (H, W, 3) they are of."""

    values: np.ndarray
    metric: bool
    image: np.ndarray


class Asked(BaseModel):
    """What the page asks for: the depth of one frame of a `file` by a model. `field_of_view` is None where the camera
    is not known, `version` and `maximum` where the file of the model says them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    file: str
    model: str = Field(min_length=1, max_length=1000)
    frame: int = Field(0, ge=0)
    short_side: int = Field(gt=0, le=2072)
    version: Version | None = None
    maximum: float | None = Field(None, gt=0)
    field_of_view: float | None = Field(None, gt=0, lt=180)


class Session:
    """`given` is the command line of `depth-anything app`: how models are run. `folder` is emptied by who made it."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given, self.folder = given, folder
        self._files: Kept[Dropped] = Kept("file", FILES, lambda one: one.path.unlink(missing_ok=True))
        self._depths: Kept[Depth] = Kept("depth", DEPTHS)
        self._models: OrderedDict[tuple[Any, ...], tuple[predictors.Predict, bool]] = OrderedDict()
        self._clips: Kept[Path] = Kept("video", CLIPS, lambda one: one.unlink(missing_ok=True))
        self._last: tuple[str, int, np.ndarray] | None = None
        self.done, self.stopped = 0, False

    def new_path(self, name: str) -> Path:
        """Return where a new file called `name` is to be written; raises UserError unless its suffix is known."""
        suffix = Path(name).suffix.lower()
        if suffix not in (*PICTURES, *VIDEOS):
            raise UserError(f"{shown(name)[-80:] or 'file'}: is neither a picture nor a video by its name")
        return self.folder / f"{secrets.token_urlsafe(12)}{suffix}"

    def add(self, path: Path) -> dict[str, Any]:
        """Keep the file at `path`, one of `new_path`; return what the page shows of it.

        Raises BadInput for what is neither picture nor video, and removes it then.
        """
        try:
            dropped = Dropped(path, announced_frames(path) if is_video(path) else 0)
            image = _pixels(dropped, 0)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        kept = self._files.add(dropped)
        self._last = kept, 0, image
        return {"file": kept, "frames": dropped.frames, "height": image.shape[0], "width": image.shape[1]}

    def image(self, file: str, frame: int) -> np.ndarray:
        """Return a frame of a kept file, or its only picture, as uint8 (H, W, 3)."""
        dropped = self._files[file]
        if self._last is None or self._last[:2] != (file, frame):
            self._last = file, frame, _pixels(dropped, frame)
        return self._last[2]

    def jpeg(self, file: str, frame: int) -> bytes:
        """Return what `image` does as a JPEG, which every browser shows, of SHOWN pixels a side at most."""
        picture = Image.fromarray(self.image(file, frame))
        picture.thumbnail((SHOWN, SHOWN))
        return encode_jpeg(np.asarray(picture))

    def depth(self, asked: Asked) -> dict[str, Any]:
        """Predict what is `asked` for and keep it; return what the page shows of it.

        Raises UserError for a file that is gone, a model that is not found or is none, and a side it does not take.
        """
        image, start = self.image(asked.file, asked.frame), time.perf_counter()
        predict, metric, with_camera = self._predictor(asked)
        values = np.ascontiguousarray(predict(image), np.float32)
        return {
            "depth": self._depths.add(Depth(values, metric, image)),
            "metric": metric,
            "with_camera": with_camera,
            "height": values.shape[0],
            "width": values.shape[1],
            "seconds": time.perf_counter() - start,
        }

    def clip(self, asked: Asked) -> dict[str, Any]:
        """Predict every frame of a video and keep a video of it, the frame to the left; return what the page shows.

        `done` counts its frames meanwhile. Raises what `depth` raises, and UserError once `stopped` is set.
        """
        predict, metric, _ = self._predictor(asked)
        self.done, self.stopped = 0, False

        def counted(image: np.ndarray) -> np.ndarray:
            if self.stopped:
                raise UserError("stopped")
            self.done += 1
            return predict(image)

        stem = self.folder / secrets.token_urlsafe(12)
        look = argparse.Namespace(side_by_side=True, colors=results.COLORS, frames=False, form=results.MAPS)
        told = predict_video.predict_video(self._files[asked.file].path, stem, counted, lambda *_: None, metric, look)
        video, facts = (stem.with_name(stem.name + suffix) for suffix in predict_video.WRITTEN[look.form])
        facts.unlink()
        return {"clip": self._clips.add(video), "said": predict_video.said(told)}

    def clip_path(self, clip: str) -> Path:
        """Return where the video of a kept clip is."""
        return self._clips[clip]

    def _predictor(self, asked: Asked) -> tuple[predictors.Predict, bool, bool]:
        """Return what predicts, whether in meters, and whether these depend on the camera."""
        wanted = asked.model_dump(include={"model", "short_side", "version", "maximum", "field_of_view"})
        given = argparse.Namespace(**vars(self.given) | wanted, intrinsics=None)
        path = find_model(os.path.expanduser(asked.model.strip())).path
        calibration = predictors.calibration_of(given, path)
        predict, metric = self._loaded(given, path)
        if calibration is None:
            return predict, metric, False
        return predictors.calibrated(given, predict, calibration), True, calibration.focal is not None

    def _loaded(self, given: argparse.Namespace, path: Path) -> tuple[predictors.Predict, bool]:
        # A model that was trained anew is another one: files and folders of models are replaced as a whole.
        key = path, path.stat().st_mtime_ns, given.short_side, given.version, given.maximum
        if key not in self._models:
            while len(self._models) >= MODELS:
                self._models.popitem(last=False)
            self._models[key] = predictors.uncalibrated(given, path)
        self._models.move_to_end(key)
        return self._models[key]

    def result(self, depth: str, kind: str, field_of_view: float, farthest: float, step: int) -> bytes:
        """Return a kept depth as a file of `kind`, one of RESULTS; the cloud of every `step`-th row and column, of a
        camera of `field_of_view` degrees, and of a relative model `farthest` times as deep as near."""
        values, metric, image = self._depths[depth]
        if kind == "cloud.ply":
            intrinsics = camera(field_of_view, *values.shape)
            return results.cloud_ply(metric, values, image, intrinsics, farthest, step)
        made = {"values.npy": lambda: results.npy(values)}
        made["gray.png"] = lambda: results.gray_png(metric, values)
        made["color.png"] = lambda: results.color_png(metric, values)
        return made[kind]()


RESULTS = {"values.npy": "application/octet-stream", "cloud.ply": "application/octet-stream"}
RESULTS |= {"gray.png": "image/png", "color.png": "image/png"}
"""Files that `Session.result` gives, and their media types."""


def _pixels(dropped: Dropped, frame: int) -> np.ndarray:
    return rgb(jpeg_frame(dropped.path, frame) if dropped.frames else dropped.path)
