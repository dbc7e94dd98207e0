"""What `depth-anything predict` makes of a video: a video of its depth at one scale, and its frames if wanted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.shown import shown
from tasks.commands.predictors import Predict
from tasks.commands.results import CONDITIONING, MAPS, frame_picture

if TYPE_CHECKING:
    import numpy as np

    from depth_model.prediction.clip import Steadied

WRITTEN = {MAPS: (".color.mp4", ".json"), CONDITIONING: (".conditioning.mp4", ".json")}
"""What is written of every video for each value of --as, beside its frames."""


def predict_video(
    path: Path, stem: Path, predictor: Predict, write: Callable[..., None], metric: bool, given: argparse.Namespace
) -> dict[str, object]:
    """Write `<stem>.color.mp4` or `.conditioning.mp4`, and `<stem>.json` with how steady it is, which is returned; with
    --frames what pictures get, too.

    Colors mean the same in all frames: their range is that of frames spread over the clip. The frames of a relative
    model are brought to one scale and shift (see `clip`). One frame is in memory at a time. Raises BadInput for what is
    no video.
    """
    import numpy as np

    from depth_model.media.video import video_file
    from depth_model.prediction import clip
    from depth_model.progress import progress_bar
    from depth_model.reading.video import announced_frames, frame_rate, frames

    total, nearness = announced_frames(path), (np.reciprocal if metric else np.asarray)
    spread_out = frames(path, max(1, total // clip.SAMPLED))
    limits = clip.clip_range(nearness(predictor(image)) for image in spread_out)
    found: list[Steadied] = []
    height, width = frame_picture(np.zeros(next(frames(path)).shape[:2], np.float32), given).shape[:2]
    shape = (height, 2 * width if given.side_by_side else width)
    video, facts = (stem.with_name(stem.name + suffix) for suffix in WRITTEN[given.form])
    with (
        progress_bar(shown(path.name), total, "frames") as bar,
        video_file(video, frame_rate(path), *shape) as add,
    ):
        for number, (image, one) in enumerate(_steadied(frames(path), predictor, not metric)):
            picture = frame_picture(clip.shares(nearness(one.values), limits), given)
            add(np.concatenate([image, picture], axis=1) if given.side_by_side else picture)
            if given.frames:
                write(one.values, image, stem / f"{number:06d}", given, limits)
            found.append(one._replace(values=np.empty(0)))
            bar.update()
    told = consistency(found, 1.0 if metric else limits[1] - limits[0], "meters" if metric else "share of the range")
    files.write_json(facts, told)
    print(shown(f"{path.name}: {said(told)}"), file=sys.stderr)
    return told


def _steadied(images: Iterator[np.ndarray], predictor: Predict, aligned: bool) -> Iterator[tuple[np.ndarray, Steadied]]:
    """Yield every image with its map at the scale of the clip."""
    from depth_model.prediction import clip

    shown_now: list[np.ndarray] = []

    def maps() -> Iterator[np.ndarray]:
        for image in images:
            shown_now[:] = [image]
            yield predictor(image)

    for one in clip.steadied(maps(), aligned):
        yield shown_now[0], one


def consistency(found: Sequence[Steadied], one: float, unit: str) -> dict[str, object]:
    """Return how much successive frames of one scene differ on average, in `unit`, of which `one` is the size."""
    import numpy as np

    pairs = [(each.raw, each.steady) for each in found if not np.isnan(each.raw)]
    raw, steady = (float(np.mean(values)) / one for values in zip(*pairs)) if pairs else (None, None)
    return {
        "frames": len(found),
        "scenes": len(found) - len(pairs),
        "difference": steady,
        "as_given": raw,
        "unit": unit,
    }


def said(told: Mapping[str, Any]) -> str:
    """Return `consistency` in words."""
    head = f"{told['frames']} frames, {told['scenes']} scene{'s' if told['scenes'] != 1 else ''}"
    if told["difference"] is None:
        return head
    given = f" ({told['as_given']:.4f} as the model gave them)" if told["as_given"] != told["difference"] else ""
    return f"{head}; a pixel differs from the frame before by {told['difference']:.4f} {told['unit']}{given}"
