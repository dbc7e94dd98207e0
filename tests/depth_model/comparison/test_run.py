"""A run that is killed goes on, several processes give what one gives, and a changed question starts anew."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model import readers
from depth_model.comparison import run
from depth_model.comparison.adapters import Settings
from depth_model.comparison.reader_cases import read_cases
from depth_model.errors import BadInput, UserError
from depth_model.evaluation.protocols import GENERIC
from depth_model.networks import DepthAnything

COUNT = 6
SIDE = 280  # large enough for PyTorch to share a layer among its threads, which changes rounding


@pytest.fixture
def job(tmp_path):
    """Predictions of six images beside their truth; the third image has none, the fourth is broken."""
    generator = np.random.default_rng(0)
    for name in ("rgb", "depth", "predictions"):
        (tmp_path / name).mkdir()
    for number in range(COUNT):
        depth = generator.integers(100, 5000, (24, 32)).astype(np.uint16)
        Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8)).save(tmp_path / "rgb" / f"{number}.png")
        Image.fromarray(depth).save(tmp_path / "depth" / f"{number}.png")
        if number != 2:
            noise = generator.normal(0, 1e-5, depth.shape)
            np.save(tmp_path / "predictions" / f"{number}.npy", (1 / depth + noise).astype(np.float32))
    (tmp_path / "rgb" / "3.png").write_bytes(b"broken")
    options = readers.get("rgbd_folder").options("rgb/*.png", "depth/*.png", unit=1000.0)
    cases = read_cases("rgbd_folder", tmp_path, options)
    return run.Job("elsewhere", str(tmp_path / "predictions"), Settings(predictions="disparity"), cases, GENERIC)


def finished(job, folder, processes=1, fingerprint="one", progress=None):
    return run.finished_results(job, folder, fingerprint, processes, progress or (lambda count: None))


def test_every_image_has_rows_or_a_reason(job, tmp_path):
    results = finished(job, tmp_path / "run")
    assert [one["key"] for one in results] == [str(number) for number in range(COUNT)]
    assert ["reason" in one for one in results] == [False, False, False, True, False, False]
    assert "no prediction 2.npy" in results[2]["rows"][0]["failure"]
    assert results[2]["rows"][1]["failure"] == ""
    assert [row["model"] for row in results[0]["rows"]] == ["elsewhere", "constant"]
    assert results[0]["rows"][0]["abs_rel"] < results[0]["rows"][1]["abs_rel"]


@pytest.mark.slow
def test_neither_processes_nor_threads_change_a_result(job, tmp_path):
    DepthAnything("tiny", seed=0).save(tmp_path / "model")
    network = replace(job, model=str(tmp_path / "model"), settings=Settings(short_side=SIDE))
    before = torch.get_num_threads()
    results = []
    try:
        for threads, processes in ((2, 1), (1, 1), (2, 2)):
            torch.set_num_threads(threads)
            results.append(finished(network, tmp_path / f"{threads} {processes}", processes=processes))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] == results[2]
    assert ["reason" in one for one in results[0]] == [False, False, False, True, False, False]


@pytest.mark.parametrize("torn", ['{"index": 2, "ke', '{"index": 2}'])
def test_a_killed_run_goes_on_behind_the_last_whole_line(job, tmp_path, torn):
    folder = tmp_path / "run"
    whole = finished(job, folder)
    lines = (folder / run.RESULTS).read_text().splitlines(keepends=True)
    kept = [json.loads(line) | {"key": "kept"} for line in lines[:2]]
    (folder / run.RESULTS).write_text("".join(json.dumps(one) + "\n" for one in kept) + torn)
    counts = []
    again = finished(job, folder, progress=counts.append)
    assert counts == [2, *[1] * (COUNT - 2)]
    assert [one["key"] for one in again[:2]] == ["kept"] * 2
    assert again[2:] == whole[2:]
    assert finished(job, folder, progress=counts.append) == again
    assert counts[-1] == COUNT


def test_another_fingerprint_starts_anew_and_a_run_has_one_process(job, tmp_path):
    folder = tmp_path / "run"
    finished(job, folder)
    counts = []

    def nested(count):
        counts.append(count)
        with pytest.raises(UserError, match="another process"):
            finished(job, folder, fingerprint="two")

    finished(job, folder, fingerprint="two", progress=nested)
    assert counts == [0, *[1] * COUNT]


def test_a_list_names_images_by_key_or_path(job):
    cases = job.cases
    chosen = read_cases(cases.reader, cases.root, cases.options, ["4", "rgb/1.png", "4"])
    assert [item.key for item in chosen.items] == ["4", "1"]
    chosen = read_cases(cases.reader, cases.root, cases.options, ["rgb/1.png depth/1.png 518.8", "4 "])
    assert [item.key for item in chosen.items] == ["1", "4"]
    with pytest.raises(BadInput, match="1 of 2 listed images are not in the set, as 9"):
        read_cases(cases.reader, cases.root, cases.options, ["4", "9"])


def test_a_truth_without_depth_or_of_another_size_is_a_reason(job, tmp_path):
    options = replace(job.cases.options, target_kind="affine_disparity")
    results = finished(replace(job, cases=read_cases("rgbd_folder", tmp_path, options)), tmp_path / "run")
    assert "affine_disparity" in results[0]["reason"]
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "rgb" / "3.png")
    assert "for a picture of 9 x 9" in finished(job, tmp_path / "other")[3]["reason"]
