"""Stages killed at every bad moment, however they were started, end with the bytes of an undisturbed run."""

import pytest

from tests.pipeline.graph_kills import Struck, kill_often
from tests.pipeline.kill_matrix import Matrix, rows


@pytest.fixture(scope="module")
def matrix(tmp_path_factory, repository):
    return Matrix(tmp_path_factory.mktemp("matrix"), repository)


@pytest.mark.slow
@pytest.mark.parametrize("kill", rows(), ids=lambda kill: f"{kill.stage}, {kill.start}, {kill.pattern}, {kill.moment}")
def test_killed_and_started_again_it_ends_with_the_same_bytes(matrix, kill):
    struck, equal = matrix.struck(kill)
    assert struck
    assert equal


@pytest.mark.slow
def test_killed_at_random_moments_and_repaired_the_graph_ends_with_the_same_bytes(tmp_path, repository):
    counts = kill_often(Struck(tmp_path, repository, seed=5), 12, 8)
    assert counts["kills"] > 0 and counts["runs to the end"] > 0
    assert not counts["FAULTS"]
