"""A recording of 7-Scenes, collected: every picture and every depth as stored."""

from __future__ import annotations

import numpy as np
from PIL import Image

from depth_model import readers
from depth_model.shards.images import decode_rgb
from depth_model.shards.source import SourceFolder


def test_a_real_recording_is_kept_whole(samples, collect):
    root = samples / "7scenes" / "redkitchen"
    options = {"color": "*.color.jpg", "depth": "*.depth.png", "unit": 1000.0, "invalid": (0, 65535)}
    source = SourceFolder(collect("rgbd_folder", root, samples_per_shard=16, **options))
    assert len(source) == 41
    for index in (0, 40):
        stored = np.asarray(Image.open(root / f"{source.key(index)}.depth.png"))
        valid = (stored > 0) & (stored < 65535)
        target = source.target(index)
        assert np.array_equal(np.isfinite(target), valid)
        assert np.array_equal(target[valid], (stored[valid] / 1000).astype(np.float32))
        assert np.array_equal(source.image(index), decode_rgb((root / f"{source.key(index)}.color.jpg").read_bytes()))
    assert set(source.manifest["codec"]) == {"integer"}
    assert readers.get("rgbd_folder").needs_root
