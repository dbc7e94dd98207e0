"""One scan in a room, one of a street; one image without its mask."""

from __future__ import annotations

import numpy as np

from . import Layout, noise, save_picture

SHAPE = (6, 8)


def write(root):
    depth = noise(SHAPE, 0.6, 350)
    mask = np.random.default_rng(3).integers(0, 2, SHAPE).astype(np.float32)
    depth[0] = 0
    targets = {}
    for domain in ("indoors", "outdoor"):
        start = f"val/{domain}/scene_00019/scan_00183/00019_00183_{domain}_000_010"
        save_picture(root / f"{start}.png", SHAPE)
        np.save(root / f"{start}_depth.npy", depth[..., None])
        np.save(root / f"{start}_depth_mask.npy", mask)
        targets[start] = np.where((mask == 1) & (depth > 0), depth, np.nan).astype(np.float32)
    lonely = "val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_020"
    save_picture(root / f"{lonely}.png", SHAPE)
    np.save(root / f"{lonely}_depth.npy", depth[..., None])
    return Layout(targets, {"split": "val"}, "metric_depth", {lonely: "_depth_mask.npy is missing"})
