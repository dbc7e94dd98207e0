"""Every family of models against the model itself, called by hand; predictions made elsewhere against their files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model.comparison import adapters
from depth_model.comparison.adapters import Settings
from depth_model.errors import BadInput
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def tiny_dpt(folder):
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        is_hybrid=False,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
    )
    DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def tiny_zoedepth(folder):
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, ZoeDepthImageProcessor

    torch.manual_seed(0)
    backbone = BeitConfig(
        image_size=32,
        patch_size=8,
        num_hidden_layers=4,
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = ZoeDepthConfig(
        backbone_config=backbone,
        backbone_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        bottleneck_features=8,
        num_relative_features=8,
        bin_embedding_dim=8,
        num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}],
    )
    ZoeDepthForDepthEstimation(config).save_pretrained(folder)
    ZoeDepthImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def test_dpt_of_transformers_gives_its_own_disparity(tmp_path, image):
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    tiny_dpt(tmp_path)
    estimator = adapters.load(str(tmp_path), Settings())
    inputs = AutoImageProcessor.from_pretrained(tmp_path)(Image.fromarray(image), return_tensors="pt")
    with torch.no_grad():
        expected = AutoModelForDepthEstimation.from_pretrained(tmp_path).eval()(**inputs).predicted_depth[0].numpy()
    assert estimator.space == "disparity"
    assert expected.std() > 0
    np.testing.assert_allclose(estimator.predict(image, ("a",)), expected, rtol=1e-5)


def test_zoedepth_of_transformers_gives_meters_as_its_pipeline(tmp_path, image):
    from transformers import pipeline

    tiny_zoedepth(tmp_path)
    estimator = adapters.load(str(tmp_path), Settings())
    expected = pipeline("depth-estimation", model=str(tmp_path))(Image.fromarray(image))["predicted_depth"].numpy()
    predicted = estimator.predict(image, ("a",))
    assert estimator.space == "metric_depth"
    assert predicted.shape == (48, 64)
    np.testing.assert_allclose(predicted, expected, rtol=1e-4)


def tiny_depth_pro(folder):
    from transformers import DepthProConfig, DepthProForDepthEstimation, DepthProImageProcessor

    torch.manual_seed(0)
    encoder = {
        "model_type": "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 16,
        "patch_size": 8,
    }
    config = DepthProConfig(
        patch_size=16,
        fusion_hidden_size=8,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.2],
        scaled_images_feature_dims=[8, 8],
        image_model_config=encoder,
        patch_model_config=encoder,
        fov_model_config=encoder,
        use_fov_model=True,
    )
    DepthProForDepthEstimation(config).save_pretrained(folder)
    DepthProImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def test_depth_pro_of_transformers_gives_meters_as_its_pipeline(tmp_path, image):
    from transformers import pipeline

    tiny_depth_pro(tmp_path)
    estimator = adapters.load(str(tmp_path), Settings())
    expected = pipeline("depth-estimation", model=str(tmp_path))(Image.fromarray(image))["predicted_depth"].numpy()
    predicted = estimator.predict(image, ("a",))
    assert (estimator.space, predicted.shape) == ("metric_depth", (48, 64))
    np.testing.assert_allclose(predicted, expected, rtol=1e-4)


def tiny_marigold(folder, predicts):
    from diffusers import AutoencoderKL, DDIMScheduler, MarigoldDepthPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    (folder / "words").mkdir()
    (folder / "words" / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}))
    (folder / "words" / "merges.txt").write_text("#version: 0.2\n")
    (folder / "words" / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    text = CLIPTextConfig(
        vocab_size=3, hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1, eos_token_id=1
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    MarigoldDepthPipeline(
        unet,
        vae,
        DDIMScheduler(prediction_type="v_prediction"),
        CLIPTextModel(text),
        CLIPTokenizer.from_pretrained(folder / "words"),
        prediction_type=predicts,
        default_denoising_steps=2,
        default_processing_resolution=32,
    ).save_pretrained(folder / "model")


@pytest.mark.parametrize("predicts", ["depth", "disparity"])
def test_marigold_of_diffusers_gives_what_its_pipeline_gives(tmp_path, image, predicts):
    from diffusers import DiffusionPipeline

    tiny_marigold(tmp_path, predicts)
    estimator = adapters.load(str(tmp_path / "model"), Settings())
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "model")
    expected = pipeline(Image.fromarray(image), generator=torch.Generator().manual_seed(0)).prediction.squeeze()
    predicted = estimator.predict(image, ("a",))
    assert (estimator.space, predicted.shape) == (predicts, (48, 64))
    assert predicted.std() > 0
    np.testing.assert_array_equal(predicted, expected)
    np.testing.assert_array_equal(estimator.predict(image, ("b",)), expected)


def test_our_models_and_official_files_give_what_the_predictor_gives(tmp_path, image):
    model = DepthAnything("tiny", seed=1)
    model.save(tmp_path / "ours")
    torch.save(model.official_state(), tmp_path / "official.pth")
    expected = DepthPredictor(model, 56).network_disparity([image])[0]
    for name in ("ours", "official.pth"):
        estimator = adapters.load(str(tmp_path / name), Settings(short_side=56, version="v1"))
        assert estimator.space == "disparity"
        np.testing.assert_array_equal(estimator.predict(image, ("a",)), expected)
    squashed = adapters.load(str(tmp_path / "ours"), Settings(network_size=(28, 70))).predict(image, ("a",))
    assert squashed.shape == (28, 70)


def test_metric_models_of_ours_give_meters_by_folder_and_by_released_file(tmp_path, image):
    model = MetricDepth(DepthAnything("tiny", seed=1), "bins", 10.0)
    model.save(tmp_path / "metric")
    folder = adapters.load(str(tmp_path / "metric"), Settings(short_side=28))
    assert folder.space == "metric_depth"
    values = folder.predict(image, ("a",))
    assert 0 < values.min() and values.max() <= 10.0
    model.export_released(tmp_path / "released.pt")
    exported = adapters.load(str(tmp_path / "released.pt"), Settings())
    np.testing.assert_array_equal(exported.predict(image, ("a",)), values)
    content = torch.load(tmp_path / "released.pt", weights_only=True)
    torch.save({"model": content["model"]}, tmp_path / "released.pt")
    with pytest.raises(ValueError, match="largest depth"):
        adapters.load(str(tmp_path / "released.pt"), Settings())


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_predictions_made_elsewhere_are_found_by_key(tmp_path, image, kind):
    values = np.random.default_rng(0).integers(0, 60000, (48, 64)).astype(np.uint16)
    values[0, 0] = 0
    (tmp_path / "deep").mkdir()
    if kind == "npy":
        np.save(tmp_path / "deep" / "a.jpg.npy", values.astype(np.float32))
    else:
        Image.fromarray(values).save(tmp_path / "deep" / "a.png")
    estimator = adapters.load(str(tmp_path), Settings(predictions="depth", unit=256))
    found = estimator.predict(image, ("deep/a",))
    assert (estimator.space, estimator.stored) == ("depth", True)
    np.testing.assert_allclose(found.ravel()[1:], values.ravel()[1:] / 256, rtol=1e-6)
    assert np.isnan(found[0, 0]) == (kind == "png")
    with pytest.raises(BadInput, match="no prediction other"):
        estimator.predict(image, ("other",))
    with pytest.raises(BadInput, match=r"\.\."):
        estimator.predict(image, ("../a",))


@pytest.mark.parametrize(
    ("config", "said"), [({"model_type": "bert"}, "'bert' is of no known family; known are"), (None, "say their space")]
)
def test_what_is_no_model_is_named(tmp_path, config, said):
    if config:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=said):
        adapters.load(str(tmp_path), Settings())


def test_a_name_that_leads_nowhere_is_named(tmp_path):
    with pytest.raises(ValueError, match="no such file or folder"):
        adapters.load(str(tmp_path / "nothing"), Settings())
