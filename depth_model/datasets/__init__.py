"""Samples, readers, shards and manifests: how images and labels are read, stored and found again."""

from depth_model.datasets import readers
from depth_model.datasets.sample import BadInput, Item, Reader, Sample

__all__ = ["BadInput", "Item", "Reader", "Sample", "readers"]
