"""The verdict on two models against cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from depth_model.evaluation import verdict
from depth_model.evaluation.verdict import BETTER, NOT_BETTER, TOO_FEW

MINIMUM = 20


def column(values):
    return pd.Series(values, index=[f"set/{number}" for number in range(len(values))], dtype=float)


def test_a_difference_that_is_the_same_on_every_image_has_no_width():
    theirs = column(np.linspace(0.1, 0.5, 30))
    found = verdict.verdict(theirs - 0.03, theirs, MINIMUM)
    assert (found.images, found.better, found.outcome) == (30, 30, BETTER)
    assert found.before == pytest.approx(0.3) and found.after == pytest.approx(0.27)
    assert found.low == pytest.approx(-0.03) and found.high == pytest.approx(-0.03)


def test_the_interval_is_that_of_the_normal_distribution_for_many_images():
    differences = np.random.default_rng(1).normal(-0.02, 0.1, 2000)
    theirs = column(np.full(2000, 0.5))
    found = verdict.verdict(theirs + differences, theirs, MINIMUM)
    half = 1.96 * differences.std() / np.sqrt(2000)
    assert found.low == pytest.approx(differences.mean() - half, abs=5e-4)
    assert found.high == pytest.approx(differences.mean() + half, abs=5e-4)
    assert found.better == (differences < 0).sum()


def test_pairs_tell_what_the_means_alone_do_not():
    """Images differ by 1, models by 0.01: without pairs the interval of the difference would hold 0."""
    theirs = column(np.random.default_rng(0).uniform(0, 1, 40))
    noise = np.random.default_rng(1).normal(0, 0.002, 40)
    assert verdict.verdict(theirs - 0.01 + noise, theirs, MINIMUM).outcome == BETTER
    assert verdict.verdict(theirs + 0.01 + noise, theirs, MINIMUM).outcome == NOT_BETTER


def test_few_images_tell_nothing_and_failures_are_not_compared():
    theirs = column(np.full(21, 0.5))
    ours = theirs - 0.1
    assert verdict.verdict(ours, theirs, MINIMUM).outcome == BETTER
    ours[["set/0", "set/3"]] = np.nan
    found = verdict.verdict(ours, theirs, MINIMUM)
    assert (found.images, found.outcome) == (19, TOO_FEW)
    assert verdict.verdict(ours * np.nan, theirs, MINIMUM) is None
    assert verdict.failures(ours) == 2


def table(**models):
    rows = [
        {"key": str(number), "model": model, "abs_rel": value}
        for model, values in models.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_images_of_all_sets_count_alike():
    one, two = table(student=[0.1] * 10, teacher=[0.2] * 10), table(student=[0.3] * 30, teacher=[0.2] * 30)
    found = verdict.scores({"near": one, "far": two})
    whole = verdict.verdict(found["student"], found["teacher"], MINIMUM)
    assert (whole.images, whole.better) == (40, 10)
    assert whole.after - whole.before == pytest.approx((10 * -0.1 + 30 * 0.1) / 40)
    told = verdict.comparison(found, "student", ["start", "teacher"], MINIMUM)
    assert list(told["against"]) == ["teacher"]
    assert {name: one["images"] for name, one in told["against"]["teacher"]["sets"].items()} == {"near": 10, "far": 30}


def compared(count=30, start=0.2, constant=0.6, student=0.1):
    found = verdict.scores(
        {"set": table(student=[student] * count, start=[start] * count, constant=[constant] * count)}
    )
    return verdict.comparison(found, "student", ["start", "teacher", "constant"], MINIMUM)


@pytest.mark.parametrize(
    ("case", "said", "refused"),
    [
        ({}, "better on 30 of 30 images, AbsRel 0.200 -> 0.100 [-0.100, -0.100]: use the new one", ""),
        (
            {"start": 0.05},
            "not better, better on 0 of 30 images, AbsRel 0.050 -> 0.100 [+0.050, +0.050]: keep",
            "started",
        ),
        ({"count": 5}, "[-0.100, -0.100]: too few images to tell, 20 are needed", "5 images, and fewer than 20"),
        ({"student": 0.15, "constant": 0.12}, "use the new one", "not better than a constant"),
        ({"student": np.nan}, "The student failed on 30 of 30 images", "failed on 30 of 30"),
    ],
)
def test_the_words(case, said, refused):
    found = compared(**case)
    text = "\n".join(verdict.told(found))
    assert said in text
    assert refused in found["refusal"] and bool(found["refusal"]) == bool(refused)
    assert ("does not become the champion" in text) == bool(refused)


@pytest.mark.parametrize(
    ("case", "outcome", "said"),
    [
        ({}, BETTER, "The student is better than the model it started from."),
        ({"start": 0.05}, NOT_BETTER, "The student is worse than the model it started from."),
        ({"start": 0.1}, NOT_BETTER, "The student is neither clearly better nor clearly worse than the model it"),
        (
            {"count": 5},
            TOO_FEW,
            "Too few images to tell whether the student is better than the model it started",
        ),
        ({"student": np.nan}, TOO_FEW, "Nothing was measured"),
    ],
)
def test_the_headline_says_who_is_better_or_that_it_cannot_be_told(case, outcome, said):
    found = verdict.headline(compared(**case))
    assert found[0] == outcome and found[1].startswith(said)


def test_without_images_it_says_so():
    text = "\n".join(verdict.told(verdict.comparison(verdict.scores({}), "student", ["start"], MINIMUM)))
    assert "was not measured" in text
