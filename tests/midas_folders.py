"""Small folders of transformers' DPTForDepthEstimation, of both kinds that MiDaS was released with."""

from __future__ import annotations

import torch
from transformers import DPTConfig, DPTForDepthEstimation

NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
VIT = {"hidden_size": 48, "num_hidden_layers": 5, "num_attention_heads": 3, "intermediate_size": 64, "image_size": 64}
BEIT = VIT | {
    "model_type": "beit",
    "use_relative_position_bias": True,
    "reshape_hidden_states": False,
    "out_features": ["stage1", "stage2", "stage3", "stage5"],
}
KINDS = {
    "vit": VIT | {"backbone_out_indices": [0, 1, 2, 4]},
    "beit": {"backbone_config": BEIT},
}


def write_midas(folder, kind):
    """Write a model of `kind` whose every weight is drawn, and return it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = DPTForDepthEstimation(DPTConfig(**KINDS[kind], **NECK)).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    return model
