"""Small folders of transformers' DPTForDepthEstimation, of the kinds that MiDaS was released with, and of ZoeDepth."""

from __future__ import annotations

import torch
from transformers import DPTConfig, DPTForDepthEstimation, ZoeDepthConfig, ZoeDepthForDepthEstimation

NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
VIT = {"hidden_size": 48, "num_hidden_layers": 5, "num_attention_heads": 3, "intermediate_size": 64, "image_size": 64}
BEIT = VIT | {
    "model_type": "beit",
    "use_relative_position_bias": True,
    "reshape_hidden_states": False,
    "out_features": ["stage1", "stage2", "stage3", "stage5"],
}
SWIN2 = {
    "model_type": "swinv2",
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "image_size": 64,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
RESNET = {
    "model_type": "bit",
    "embedding_size": 8,
    "hidden_sizes": [16, 32, 64],
    "depths": [1, 1, 1],
    "num_groups": 4,
    "global_padding": "same",
    "embedding_dynamic_padding": True,
    "out_features": ["stage1", "stage2", "stage3"],
}
KINDS = {
    "vit": VIT | {"backbone_out_indices": [0, 1, 2, 4]},
    "beit": {"backbone_config": BEIT},
}
"""Those whose encoder stands under our decoder too."""
WHOLE = KINDS | {
    "swin2": {"backbone_config": SWIN2, "neck_hidden_sizes": [8, 16, 32, 64]},
    "hybrid": VIT
    | {
        "is_hybrid": True,
        "backbone_config": RESNET,
        "backbone_featmap_shape": [1, 64, 4, 4],
        "backbone_out_indices": [0, 1, 2, 4],
        "neck_hidden_sizes": [16, 32, 8, 8],
    },
    "zoedepth": {"backbone_config": BEIT},
}


def write_midas(folder, kind):
    """Write a model of `kind` whose every weight is drawn, and return it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = (
            (ZoeDepthForDepthEstimation, ZoeDepthConfig) if kind == "zoedepth" else (DPTForDepthEstimation, DPTConfig)
        )
        model = made[0](made[1](**NECK | WHOLE[kind])).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    return model
