"""Metric bins and the sigmoid head: check values, transformers' heads as oracles, layouts in both directions."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn
from transformers import DepthAnythingForDepthEstimation, ZoeDepthConfig
from transformers.models.zoedepth.modeling_zoedepth import ZoeDepthMetricDepthEstimationHead

from depth_model.metric.heads.bins import STRENGTH, MetricBins, attract, log_binomial
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import BadCheckpoint, DepthAnything
from depth_model.networks.dpt import DecoderMaps
from depth_model.networks.variants import VARIANTS


def images(height=70, width=98, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def metric(head="bins", **options):
    return MetricDepth(DepthAnything("tiny", seed=1), head, 10.0, seed=2, **options)


@pytest.mark.parametrize(("distance", "moved"), [(0.01, 0.0090909), (0.1, 0.0090909), (1.0, 0.000999)])
def test_attractors_pull_as_in_the_check_values(distance, moved):
    assert float(attract(torch.zeros(1), torch.tensor([distance]), 1000.0)) == pytest.approx(moved, abs=5e-8)


def test_the_pull_is_strongest_at_the_root_of_the_strength_and_averages_over_points():
    distances = torch.linspace(0.001, 0.2, 2000, dtype=torch.float64)
    pulls = attract(-distances, torch.zeros(1, dtype=torch.float64), 1000.0) + distances
    assert float(pulls.max()) == pytest.approx(0.0158114, abs=1e-7)
    assert float(distances[pulls.argmax()]) == pytest.approx(0.0316228, abs=1e-4)
    both = attract(torch.zeros(1), torch.tensor([0.01, -0.1]), 1000.0)
    assert float(both) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(("temperature", "mean", "peak"), [(1.0, 19.10, 0.1101), (50.0, 26.92, None)])
def test_log_binomial_check_values(temperature, mean, peak):
    shares = log_binomial(torch.tensor(0.3), torch.tensor(temperature))
    assert float((shares * torch.arange(64)).sum()) == pytest.approx(mean, abs=0.005)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-6)
    if peak:
        assert int(shares.argmax()) == 19
        assert float(shares.max()) == pytest.approx(peak, abs=5e-5)


def test_log_binomial_is_the_binomial_distribution_but_for_stirlings_form():
    shares = log_binomial(torch.tensor(0.3), torch.tensor(1.0)).numpy()
    exact = [math.comb(63, k) * 0.3**k * 0.7 ** (63 - k) for k in range(64)]
    assert abs(shares - exact).max() < 0.005


def test_gradients_of_attractors_and_distribution_are_exact():
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.rand(1, 2, 2, c, generator=generator, dtype=torch.float64).requires_grad_() for c in (5, 3)]
    assert torch.autograd.gradcheck(lambda c, a: attract(c, a, 30.0), drawn)
    drawn = torch.rand(2, 1, 2, 2, generator=generator, dtype=torch.float64)
    pair = [one.requires_grad_() for one in (0.2 + 0.5 * drawn).unbind()]
    assert torch.autograd.gradcheck(lambda p, t: log_binomial(p, t, 8), pair)


def test_the_head_of_vitl_has_the_released_number_of_parameters():
    assert sum(p.numel() for p in MetricBins(VARIANTS["vitl"].features).parameters()) == 478_145


def transformers_head():
    """Return transformers' head with softplus bins at the sizes of ours; its strength is always 300."""
    config = ZoeDepthConfig(
        bottleneck_features=256,
        bin_embedding_dim=128,
        num_attractors=[16, 8, 4, 1],
        bin_centers_type="softplus",
        attractor_kind="mean",
        min_temp=0.0212,
        max_temp=50.0,
        num_relative_features=32,
        fusion_hidden_size=256,
        bin_configurations=[{"n_bins": 64, "min_depth": 1e-3, "max_depth": 10.0}],
    )
    return ZoeDepthMetricDepthEstimationHead(config)


def our_names(named):
    """Return values under our names instead of transformers'."""
    result = {}
    for name, value in named.items():
        name = name.replace("conditional_log_binomial.mlp", "conditional_log_binomial")
        if not name.startswith("conditional") and not name.startswith("conv2."):
            name = re.sub(r"\.conv1\.", ".0.", re.sub(r"\.conv2\.", ".2.", name))
        result[name] = value
    return result


def load_from(ours, theirs):
    ours.load_state_dict(our_names(theirs.state_dict()))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_metric_bins_agree_with_those_of_transformers_at_the_strength_of_released_weights(layout):
    torch.manual_seed(0)
    theirs = transformers_head()
    ours = MetricBins(256, STRENGTH)
    load_from(ours, theirs)
    shapes = [(2, 256, side, side + 2) for side in (4, 8, 16, 32)] + [(2, 256, 2, 3), (2, 32, 40, 44)]
    inputs = [torch.randn(shape).contiguous(memory_format=layout).requires_grad_() for shape in shapes]
    disparity = torch.rand(2, 40, 44, requires_grad=True)
    *paths, bottleneck, hidden = inputs
    expected = theirs(hidden, bottleneck, paths, disparity)[0][:, 0]
    found = ours(DecoderMaps(bottleneck, tuple(paths), hidden, disparity))
    assert found.shape == (2, 40, 44)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    # The gradients too, of every input and weight; those of the smallest are sums of many that nearly cancel.
    leaves = [*inputs, disparity]
    slopes = [torch.autograd.grad(one.square().mean(), [*leaves, *head.parameters()], retain_graph=True)
              for one, head in ((found, ours), (expected, theirs))]  # fmt: skip
    for mine, other in zip(slopes[0][: len(leaves)], slopes[1]):
        assert float((mine - other).abs().max()) < 1e-3 * float(other.abs().max())
    by_name = {name: slope for (name, _), slope in zip(theirs.named_parameters(), slopes[1][len(leaves) :])}
    named = dict(zip((name for name, _ in ours.named_parameters()), slopes[0][len(leaves) :], strict=True))
    for name, slope in our_names(by_name).items():
        assert float((named[name] - slope).abs().max()) < 1e-3 * float(slope.abs().max())


def test_sigmoid_depth_agrees_with_transformers_on_the_folder_we_write(tmp_path):
    model = metric("sigmoid", domain="indoor").eval()
    model.save(tmp_path)
    theirs = DepthAnythingForDepthEstimation.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        expected = theirs(images(518, 518, 1)).predicted_depth
        found = model(images(518, 518, 1))
    assert 0 < float(found.min()) and float(found.max()) < 10
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["bins", "sigmoid"])
def test_a_saved_model_comes_back_with_its_range_and_the_same_bytes(tmp_path, head):
    model = metric(head, domain="indoor").eval()
    model.save(tmp_path / "a")
    again = MetricDepth.load(tmp_path / "a").eval()
    assert (again.maximum, again.domain) == (10.0, "indoor")
    with torch.inference_mode():
        assert torch.equal(again(images()), model(images()))
    again.save(tmp_path / "b")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_released_layout_is_written_and_read(tmp_path):
    model = metric("bins", strength=STRENGTH).eval()
    model.export_released(tmp_path / "metric.pt")
    content = torch.load(tmp_path / "metric.pt", weights_only=True)
    assert set(content) == {"model", "optimizer", "epoch", "open_depth_anything"}
    for name in (
        "core.core.pretrained.blocks.0.attn.qkv.weight",
        "core.core.depth_head.scratch.refinenet1.out_conv.bias",
        "conv2.weight",
        "seed_bin_regressor._net.0.weight",
        "seed_projector._net.2.bias",
        "projectors.3._net.2.weight",
        "attractors.0._net.2.weight",
        "conditional_log_binomial.mlp.2.bias",
        "conditional_log_binomial.log_binomial_transform.k_idx",
        "conditional_log_binomial.log_binomial_transform.K_minus_1",
    ):
        assert name in content["model"]
    bare = {name: content[name] for name in ("model", "optimizer", "epoch")}
    torch.save(bare, tmp_path / "bare.pt")
    torch.save(bare, tmp_path / "depth_anything_metric_depth_indoor.pt")
    for name, maximum in (("metric", None), ("bare", 10), ("depth_anything_metric_depth_indoor", None)):
        again = MetricDepth.load(tmp_path / f"{name}.pt", maximum).eval()
        assert (again.head.strength, again.maximum, again.version, again.input_size) == (300, 10, "v1", (392, 518))
        with torch.inference_mode():
            assert torch.equal(again(images()), model(images()))
    with pytest.raises(BadCheckpoint, match="does not say the largest depth"):
        MetricDepth.load(tmp_path / "bare.pt")


def test_an_export_keeps_the_strength_and_the_version_it_was_trained_with(tmp_path):
    model = metric("bins", strength=1000.0, domain="indoor").eval()
    model.version = "v2"
    model.export_released(tmp_path / "a.pt")
    again = MetricDepth.load(tmp_path / "a.pt").eval()
    assert (again.head.strength, again.version, again.domain) == (1000.0, "v2", "indoor")
    with torch.inference_mode():
        assert torch.equal(again(images()), model(images()))


def test_a_file_of_the_second_version_is_read_as_a_sigmoid(tmp_path):
    relative = DepthAnything("tiny", seed=4)
    torch.save(relative.official_state(), tmp_path / "second.pth")
    with pytest.raises(BadCheckpoint, match=r"version v1 or v2 \(--version"):
        MetricDepth.load(tmp_path / "second.pth", maximum=20)
    model = MetricDepth.load(tmp_path / "second.pth", maximum=20, version="v2").eval()
    assert model.input_size == 518
    with torch.inference_mode():
        maps = relative.decoder.maps(relative.encoder(images(), relative.blocks), 5, 7)
        torch.testing.assert_close(model(images()), 20 * maps.output.sigmoid())


def test_a_relative_folder_is_no_metric_model_and_a_metric_one_no_relative(tmp_path):
    DepthAnything("tiny").save(tmp_path / "relative")
    with pytest.raises(BadCheckpoint, match="no model of metric depth"):
        MetricDepth.load(tmp_path / "relative")
    for head in ("bins", "sigmoid"):
        metric(head).save(tmp_path / head)
        with pytest.raises(BadCheckpoint):
            DepthAnything.load(tmp_path / head)


def test_every_trainable_parameter_learns():
    model = metric("bins")
    model(images()).log().mean().backward()
    without = [name for name, one in model.named_parameters() if one.requires_grad and one.grad is None]
    assert without == []
    finite = all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert finite


def test_bfloat16_gives_nearly_the_same_meters():
    model = metric("bins").eval()
    with torch.inference_mode():
        exact = model(images())
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(images())
    assert rough.dtype == torch.float32
    assert float(((rough - exact).abs() / exact).max()) < 0.05


def test_wrong_heads_and_ranges_are_refused():
    with pytest.raises(ValueError, match="choose bins or sigmoid"):
        MetricDepth(DepthAnything("tiny"), "linear", 10.0)
    with pytest.raises(ValueError, match="maximum"):
        MetricDepth(DepthAnything("tiny"), "bins", 0.0)
    with pytest.raises(ValueError, match="metric bins"):
        metric("sigmoid").export_released("unused.pt")
    assert isinstance(metric("sigmoid").head, nn.Module)
