"""One process of a pair that learns from half a batch each.

Arguments: rank, meeting file, where to put the gradients, and, case by case, the ranks that have no valid pixel ("",
"1", "01").
"""

from __future__ import annotations

import sys

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from depth_model.networks import DepthAnything
from depth_model.objectives import affine_invariant_loss


def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 42, 56, generator=generator, dtype=torch.float64)
    target = torch.rand(4, 42, 56, generator=generator, dtype=torch.float64)
    return images, target, torch.ones(4, 42, 56, dtype=torch.bool)


def model():
    # In float64, which leaves only the head's last convolution to round in float32.
    return DepthAnything("tiny", seed=1).double()


def gradients(model, rows, empty=False):
    images, target, mask = (values[rows] for values in batch())
    affine_invariant_loss(model(images), target, mask & (not empty)).backward()
    return {
        name.removeprefix("module."): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


if __name__ == "__main__":
    rank, meeting, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    for case in sys.argv[4:]:
        replica = DistributedDataParallel(model())
        found = gradients(replica, slice(2 * rank, 2 * rank + 2), empty=sys.argv[1] in case)
        torch.save(found, f"{out}-{case}-{rank}")
    distributed.destroy_process_group()
