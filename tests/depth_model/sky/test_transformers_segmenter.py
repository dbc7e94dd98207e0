"""Transformers segmentation folders as sky segmenters; tiny seeded models of transformers itself are the oracle."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel

from depth_model.errors import UserError
from depth_model.sky.masks import load_segmenter

transformers = pytest.importorskip("transformers")
IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
LABELS = {0: "wall", 1: "building, edifice", 2: "sky", 3: "skyscraper"}


def segformer(folder, labels=LABELS):
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3],
        strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16,
        id2label=labels, label2id={name: k for k, name in labels.items()},
    )  # fmt: skip
    transformers.SegformerForSemanticSegmentation(config).eval().save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def tiny_swin():
    torch.manual_seed(0)
    return transformers.SwinConfig(
        image_size=32, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def mask2former(folder, labels=LABELS):
    config = transformers.Mask2FormerConfig(
        backbone_config=tiny_swin(), feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=5,
        id2label=labels, label2id={name: k for k, name in labels.items()},
    )  # fmt: skip
    model = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    with torch.no_grad():  # as initialized, all queries say nearly the same of every pixel
        model.class_predictor.weight *= 40
        for parameter in model.model.transformer_module.decoder.mask_predictor.mask_embedder.parameters():
            parameter *= 8
    model.save_pretrained(folder)
    transformers.Mask2FormerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def oneformer(folder, labels=LABELS):
    config = transformers.OneFormerConfig(
        backbone_config=tiny_swin(), conv_dim=32, mask_dim=32, hidden_dim=32, encoder_feedforward_dim=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=5,
        text_encoder_vocab_size=600, id2label=labels, label2id={name: k for k, name in labels.items()},
    )  # fmt: skip
    model = transformers.OneFormerForUniversalSegmentation(config).eval()
    with torch.no_grad():  # as initialized, all queries say nearly the same of every pixel
        model.model.transformer_module.decoder.class_embed.weight *= 40
        for parameter in model.model.transformer_module.decoder.mask_embed.parameters():
            parameter *= 8
    model.save_pretrained(folder)
    oneformer_processor(folder, labels).save_pretrained(folder)


def oneformer_processor(folder, labels):
    """Return the library's processor, which knows single letters only and the names of classes from a file."""
    letters = sorted(ByteLevel.alphabet())
    known = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(vocab={token: number for number, token in enumerate(known)}, merges=[])
    names = {str(k): {"name": name, "isthing": 0} for k, name in labels.items()}
    (folder / "classes.json").write_text(json.dumps(names))
    images = transformers.OneFormerImageProcessor(
        size={"height": 64, "width": 64}, repo_path=str(folder), class_info_file="classes.json", num_text=1
    )
    return transformers.OneFormerProcessor(images, tokenizer)


def test_segformer_gives_the_softmax_share_of_sky(tmp_path):
    segformer(tmp_path)
    probability = load_segmenter(str(tmp_path))(IMAGE)
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    with torch.no_grad():
        output = model(**processor(images=IMAGE, return_tensors="pt"))
    logits = torch.nn.functional.interpolate(output.logits, size=(50, 70), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(probability, logits.softmax(1)[0, 2].numpy(), atol=1e-6)
    assert probability.shape == (50, 70) and probability.dtype == np.float32
    # The library's own decision agrees wherever sky holds more than half.
    (classes,) = processor.post_process_semantic_segmentation(output, target_sizes=[(50, 70)])
    assert (classes.numpy()[probability > 0.5] == 2).all()


def library_inputs(folder, save):
    if save is oneformer:
        return oneformer_processor(folder, LABELS)(IMAGE, ["semantic"], return_tensors="pt")
    return transformers.AutoImageProcessor.from_pretrained(folder)(images=IMAGE, return_tensors="pt")


@pytest.mark.parametrize("save", [segformer, mask2former, oneformer])
def test_the_most_probable_class_is_the_librarys_choice(tmp_path, save):
    """Ask for each class in turn by naming it sky: the answers are a distribution, its mode the library's map."""
    found = []
    for sky in LABELS:
        labels = {k: "sky" if k == sky else f"other {k}" for k in LABELS}
        save(tmp_path / str(sky), labels)
        found.append(load_segmenter(str(tmp_path / str(sky)))(IMAGE))
    assert np.sum(found, 0).max() < 1 + 1e-5 and np.median(np.sum(found, 0)) > 1 - 1e-5
    kind = (
        transformers.AutoModelForSemanticSegmentation
        if save is segformer
        else transformers.AutoModelForUniversalSegmentation
    )
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "0")
    with torch.no_grad():
        output = kind.from_pretrained(tmp_path / "0").eval()(**library_inputs(tmp_path / "0", save))
    (classes,) = processor.post_process_semantic_segmentation(output, target_sizes=[IMAGE.shape[:2]])
    assert len(np.unique(classes)) >= 2
    assert (np.argmax(found, 0) == classes.numpy()).mean() > 0.99  # they resize masks in two steps


def test_the_result_repeats(tmp_path):
    segformer(tmp_path)
    segmenter = load_segmenter(str(tmp_path))
    np.testing.assert_array_equal(segmenter(IMAGE), segmenter(IMAGE))


@pytest.mark.parametrize(("labels", "count"), [({0: "wall", 1: "skyscraper"}, 0), ({0: "sky", 1: "sky, heaven"}, 2)])
def test_exactly_one_class_must_be_sky(tmp_path, labels, count):
    segformer(tmp_path, labels)
    with pytest.raises(UserError, match=f"{count} of its 2 classes are named 'sky'"):
        load_segmenter(str(tmp_path))


def test_oneformer_needs_no_names_of_classes_from_a_hub(tmp_path):
    """Its released processors name a repository for them, which only training reads."""
    oneformer(tmp_path)
    expected = load_segmenter(str(tmp_path))(IMAGE)
    (tmp_path / "classes.json").unlink()
    np.testing.assert_array_equal(load_segmenter(str(tmp_path))(IMAGE), expected)


def test_oneformer_without_its_tokenizer_is_refused(tmp_path):
    oneformer(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    with pytest.raises(UserError, match="its tokenizer cannot say 'the task is semantic'"):
        load_segmenter(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path):
    segformer(tmp_path)
    weights = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path).state_dict()
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"cannot be loaded .*safetensors"):
        load_segmenter(str(tmp_path))


def test_another_kind_of_model_is_refused(tmp_path):
    transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"cannot be loaded .*packaged_probe, none"):
        load_segmenter(str(tmp_path))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be loaded"):
        load_segmenter(str(tmp_path))


def test_without_transformers_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'open-depth-anything\[sky\]'"):
        load_segmenter(str(tmp_path))
