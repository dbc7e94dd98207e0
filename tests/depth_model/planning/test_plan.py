"""The plan against numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import pytest

from depth_model.errors import UserError
from depth_model.planning import plan, scaling

PAPER = plan.Work(
    labeled=1_599_000,
    unlabeled=62_300_000,
    teacher="vitl",
    teacher_epochs=20,
    teacher_batch=64,
    student="vits",
    student_epochs=1,
    labeled_per_batch=64,
    unlabeled_per_batch=128,
    crop=518,
    label_side=518,
)


def stage(name, work=PAPER, device="v100", workers=1, cores=1):
    return next(one for one in plan.stages(work, device, workers, cores) if one.name == name)


def test_the_teacher_costs_epochs_times_images_times_a_training_pass():
    # 31.98 million images x 20 ms x 3.4 = 2,174,640 s
    assert stage("train teacher").device_hours == pytest.approx(604.07, abs=0.01)
    # 499,687.5 steps x 335,315,649 parameters x 4 bytes x 2 (4 - 1): what four workers send in a ring
    assert stage("train teacher", workers=4).exchanges == pytest.approx(4021.3, rel=1e-3)
    assert stage("train teacher").exchanges == 0


def test_the_student_sees_one_labeled_image_for_two_others_and_the_frozen_encoder_those():
    # 93.45 million x 12 ms x 3.4 + 62.3 million x 12 ms x 0.735 = 4,362,242 s
    assert stage("train student").device_hours == pytest.approx(1211.73, abs=0.05)
    assert plan.student_steps(PAPER) == 486_718.75


def test_pseudo_labels_cost_the_teachers_time_on_whole_images():
    # 62.3 million x 20 ms x 1.333 / 0.9 = 1,845,463 s
    assert stage("pseudo-label").device_hours == pytest.approx(512.63, abs=0.01)
    # 62.3 million x 518 x 518 x 1.333 x 0.602 bytes
    assert stage("pseudo-label").stores == pytest.approx(13.41, abs=0.01)
    twice = dataclasses.replace(PAPER, passes=2)
    assert stage("pseudo-label", twice).device_hours == pytest.approx(2 * 512.63, abs=0.02)


def test_hours_shrink_with_the_workers_and_the_square_of_the_side():
    whole = stage("train student")
    assert stage("train student", workers=128).hours == pytest.approx(whole.device_hours / 128)
    half = dataclasses.replace(PAPER, crop=259)
    assert stage("train student", half).device_hours == pytest.approx(whole.device_hours / 4)
    assert stage("collect unlabeled", workers=2, cores=5).hours == pytest.approx(62.3e6 / 97 / 3600 / 10)


def test_the_bottleneck_has_the_most_hours():
    costs = plan.stages(PAPER, "v100", 8, 8)
    assert plan.bottleneck(costs).name == "train student"
    few = plan.stages(dataclasses.replace(PAPER, unlabeled=1000), "v100", 8, 8)
    assert plan.bottleneck(few).name == "train teacher"
    assert "Bottleneck: train teacher, 100%" in plan.markdown(few, 8)


@pytest.mark.parametrize(("size", "count"), [("vits", 24_785_089), ("vitb", 97_470_785), ("vitl", 335_315_649)])
def test_networks_have_the_published_number_of_parameters(size, count):
    assert plan.parameters(size) == count


@pytest.mark.parametrize(("device", "size", "said"), [("mi3", "vits", "choose one of v100"), ("v100", "vitg", "vitb")])
def test_what_was_not_measured_is_refused(device, size, said):
    with pytest.raises(UserError, match=said):
        plan.seconds_per_image(device, size, 518)


def test_the_student_stops_scaling_where_its_batch_is_used_up():
    # 24 of 192 images: 24 x 12 ms x 3.4 + 16 x 12 ms x 0.735; a ring of 8 sends 7/4 of 24,785,089 x 4 bytes at 200 GB/s
    eight = scaling.student_scale(PAPER, "v100", 8)
    assert eight.computing == pytest.approx(1.1203, abs=1e-3)
    assert eight.exchange == pytest.approx(24_785_089 * 4 * 1.75 / 200e9)
    assert (eight.efficiency, eight.limit) == (pytest.approx(1.0), "computing")
    # 192 images of 150 kB and 128 labels of 518 x 518 x 1.333 x 0.602 bytes in each step
    assert eight.store == pytest.approx((192 * 150e3 + 128 * 215_326) / 1.1203 / 1e9, rel=1e-3)
    many = scaling.student_scale(PAPER, "v100", 512)
    assert many.limit.startswith("student.unlabeled_per_batch = 128: only as many GPUs work")
    assert many.efficiency < 0.25


def test_a_slow_network_is_named(monkeypatch):
    slow = plan.table() | {"exchange_gb_s_between_nodes": {"value": 0.1, "source": ""}}
    monkeypatch.setattr(plan, "table", lambda: slow)
    one = scaling.student_scale(PAPER, "v100", 64)
    assert "the exchange takes longer than the backward pass" in one.limit
    assert one.step == pytest.approx(one.exchange + one.computing / 3)


def test_measured_figures_of_a_device_replace_the_general_ones(monkeypatch):
    card = {"kind": "gpu", "source": "", "milliseconds": {"vits": 1.0, "vitl": 4.0}, "training_factor": {"vits": 3.0}}
    card |= {"labeling_share": 0.5, "memory": {"vits": {"network": 1.0, "image": 0.5}}}
    known = plan.table() | {"devices": {"card": card}}
    monkeypatch.setattr(plan, "table", lambda: known)
    assert plan.training_factor("card", "vits") == 3.0 and plan.training_factor("card", "vitl") == 3.4
    assert stage("pseudo-label", device="card").device_hours == pytest.approx(62.3e6 * 4e-3 * 1.333 / 0.5 / 3600)
    assert scaling.memory("vits", "card", 24) == 13.0
    assert "13.0" in scaling.markdown(PAPER, "card", (8,))


def test_sky_masks_are_listed():
    assert stage("sky masks").device_hours == pytest.approx(1_599_000 * 0.020 * 0.14 / 3600)


def test_the_time_on_a_card_is_its_operations_over_a_share_of_its_peak():
    # 1292.8 billion / (0.3 x 989 TFLOPS), the A100 as the authors measured it, the T4 in fp32
    assert plan.seconds_per_image("H100", "vitl", 518) == pytest.approx(4.357e-3, rel=1e-3)
    assert plan.seconds_per_image("A100", "vitl", 518) == 0.013
    assert plan.seconds_per_image("RTX 4090", "vits", 259) == pytest.approx(114.6e9 / (0.3 * 165.2e12) / 4)
    assert plan.seconds_per_image("t4", "vits_reg", 518) == pytest.approx(114.6 / (0.3 * 8.1e3))


def test_memory_is_sixteen_bytes_a_parameter_and_what_backward_needs():
    fixed = 16 * 24_785_089
    assert plan.training_bytes("vits", 518, 2, "fp32") == fixed + 2 * 1200e6
    assert plan.training_bytes("vits", 259, 8, "bf16") == fixed + 1200e6
