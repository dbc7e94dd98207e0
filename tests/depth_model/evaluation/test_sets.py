"""Every protocol on its set in the official layout: the reader takes its options, and its images are measured."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from depth_model.comparison.reader_cases import read_cases
from depth_model.evaluation import protocols, truth
from depth_model.evaluation.harness import evaluate
from depth_model.prediction.estimator import Estimator
from tasks.settings import params

VARIANTS = [protocol.name for dataset in protocols.set_names() for protocol in protocols.variants(dataset).values()]
VARIANTS.remove("sun_rgbd/converted")  # another layout, which the test of its reader writes


def cases_of(protocol, root):
    layout = import_module(f"tests.depth_model.readers.layouts.{protocol.reader}")
    layout.write(root)
    options = dict(protocol.options)
    if protocol.reader == "hypersim":
        del options["split"]  # its table of splits is no part of the written layout
    source = params.Source(reader=protocol.reader, root=str(root), options=options)
    return read_cases(protocol.reader, root, source.chosen_options())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_protocol_measures_the_official_layout_of_its_set(tmp_path, monkeypatch, name):
    # The written pictures have few pixels, some of them very far: crops and caps would leave nothing.
    monkeypatch.setattr(truth, "FEWEST_PIXELS", 1)
    protocol = replace(protocols.get(name), crop="none", image_crop="none", maximum=1e6)
    space = "metric_depth" if protocol.is_metric else "disparity"
    seer = Estimator(space, lambda image, key: np.linspace(1, 2, 48, dtype=np.float32).reshape(6, 8))
    cases = cases_of(protocol, tmp_path)
    table, skipped = evaluate({"seer": seer}, cases, protocol, lambda: None)
    assert len(table["key"].unique()) + len(skipped) == len(cases) > 0
    assert not table.empty, skipped
