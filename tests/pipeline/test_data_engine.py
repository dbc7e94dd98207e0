"""Three nights of the flow data-engine on the tiny world, whose folder of photographs grows by day."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.kill_matrix import TEMPORARY_SERVER

NIGHTS = """
import json, shutil, time
from pathlib import Path
from flows.data_engine import data_engine

for number in range(3):
    for path in sorted(Path("arriving", str(number)).iterdir()):
        shutil.move(path, Path("data/photographs", path.name))
    begun = time.monotonic()
    state = data_engine(workers=1, train_at=0.25, return_state=True)
    print("night", json.dumps([state.result(raise_on_failure=False), round(time.monotonic() - begun)]), flush=True)
"""
ARRIVING = (2, 1, 1)
"""Photographs of each day; the student has learned from 14 images, so that a quarter of them is reached on the last."""


@pytest.fixture
def growing(ran_project):
    """The tiny project after its first run, with the photographs of three days to come."""
    generator = np.random.default_rng(5)
    for day, count in enumerate(ARRIVING):
        folder = ran_project.folder / "arriving" / str(day)
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 255, (6, 8, 3), np.uint8)
            Image.fromarray(pixels).resize((80, 60)).save(folder / f"{day}-{number}.png")
    return ran_project


@pytest.mark.slow
def test_a_night_costs_what_is_new_and_enough_of_it_trains_a_challenger(growing):
    growing.environment |= TEMPORARY_SERVER | {"PREFECT_HOME": str(growing.folder.parent / "prefect")}
    before = growing.weights("student")
    output = growing.run(sys.executable, "-c", NIGHTS)
    nights = [json.loads(line.removeprefix("night ")) for line in output.splitlines() if line.startswith("night ")]
    print(*(f"night {number}: {seconds} s" for number, (_, seconds) in enumerate(nights)), sep="\n")
    ran = [{stage for stage, outcome in outcomes.items() if outcome == "ran"} for outcomes, _ in nights]
    moved = {"inventory", "collect_unlabeled@photographs", "validate@unlabeled", "audit"}
    moved |= {"pseudo_label@photographs", "validate_pseudo"}
    assert ran[0] == ran[1] == moved
    assert {"train_student", "summarise"} <= ran[2]
    assert not {"train_teacher", "pseudo_label@hills", "collect_unlabeled@hills"} & ran[2]
    assert growing.weights("student") != before
    for number in (2, 3, 4):
        assert f"{number} images are new since the student learned from 14" in output
