"""Published numbers agree with themselves; ours stand beside them, and what is missing says so."""

from __future__ import annotations

import pytest

from depth_model.comparison.tables import MISSING, cells, markdown, measured_rows, paper_source, paper_tables, rows_of


def test_the_published_tables_agree_with_each_other():
    tables = paper_tables()
    assert "2401.10891" in paper_source()
    assert list(tables) == ["2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13"]
    small, large = (tables["2"].rows[f"Depth Anything {size}"][::2] for size in ("ViT-S", "ViT-L"))
    assert tables["9"].rows["labeled + unlabeled + perturbation + feature alignment"] == large
    assert tables["12"].rows["alpha = 0.85"][:6] == tables["13"].rows["unlabeled images"][:6] == small
    assert tables["9"].rows["labeled"] == tables["6"].rows["all six"][0:12:2]
    assert tables["10"].rows["Depth Anything encoder"][:2] == tables["3"].rows["Depth Anything"][3::-3]
    ours = dict(zip(tables["10"].columns, tables["10"].rows["Depth Anything encoder"]))
    assert tables["7"].rows["Depth Anything ViT-L"][0] == ours["cityscapes", "miou"]
    assert tables["8"].rows["Depth Anything ViT-L"][0] == ours["ade20k", "miou"]
    assert len(tables["2"].rows) * len(tables["2"].columns) == 48


@pytest.mark.parametrize("number", ["6", "12", "13"])
def test_published_means_are_those_of_the_six_sets(number):
    table = paper_tables()[number]
    for values in table.rows.values():
        by_column = dict(zip(table.columns, values))
        for metric in {metric for dataset, metric in table.columns if dataset == "mean"}:
            six = [value for (dataset, one), value in by_column.items() if one == metric and dataset != "mean"]
            # They were taken before the six were rounded.
            assert sum(six) / 6 == pytest.approx(by_column["mean", metric], abs=6e-4)


def summary(name, alignment="disparity", **models):
    return {"protocol": {"name": name, "alignment": alignment}, "models": models}


@pytest.fixture
def ours():
    sets = ("kitti", "nyu", "sintel", "ddad", "eth3d", "diode")
    whole = [summary(f"{name}/paper", student={"abs_rel": 0.1 * place}) for place, name in enumerate(sets)]
    return measured_rows(
        [
            *whole,
            summary("kitti/midas", student={"abs_rel": 0.9, "delta1": None}),
            summary("nyu/zoedepth", "none", finetuned={"abs_rel": 0.05, "rmse": 0.2}),
            summary("generic", teacher={"abs_rel": 0.1}),
        ]
    )


def test_rows_of_ours_hold_only_what_was_measured(ours):
    rows = {label: texts for label, mine, texts in rows_of(paper_tables()["2"], ours) if mine}
    assert set(rows) == {"student", "student (midas)"}
    assert rows["student"][:4] == ["0.000", MISSING, "0.100", MISSING]
    assert rows["student (midas)"] == ["0.900", *[MISSING] * 11]
    rows = {label: texts for label, mine, texts in rows_of(paper_tables()["3"], ours) if mine}
    assert rows == {"finetuned": [MISSING, MISSING, MISSING, "0.050", "0.200", MISSING]}


def test_a_mean_needs_every_set(ours):
    whole, part = (next(row for row in ours if row.label == label) for label in ("student", "student (midas)"))
    assert cells(paper_tables()["12"], whole)[-1] == pytest.approx(0.25)
    assert cells(paper_tables()["12"], part)[-1] is None


def test_a_table_takes_the_rows_it_is_told_under_their_labels(ours):
    table = paper_tables()["12"]
    text = markdown(table, rows_of(table, ours, {"student": "alpha = 0.5"}))
    assert "| **alpha = 0.5** | 0.000 | 0.100 |" in text
    assert "midas" not in text
    assert "| alpha = 0.85 | 0.080 | 0.053 |" in text
