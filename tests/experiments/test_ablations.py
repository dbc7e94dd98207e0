"""The ablations: rows as the paper has them, parameters that params.yaml takes, a results file that only grows."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
import yaml

from depth_model.comparison.tables import paper_tables
from depth_model.errors import UserError
from experiments import ablations
from tasks.settings import params, presets

TABLES = ("table-9", "table-12", "table-13")


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_one_of_the_paper_in_its_order(table):
    published = paper_tables()[table.removeprefix("table-")]
    assert [row.label for row in ablations.rows_of(table, [])] == list(published.rows)


def changed(content, changes):
    for change in changes:
        if change.startswith("~"):
            *path, last = change[1:].split(".")
            place = content
            for key in path:
                place = place[key]
            del place[last]
            continue
        name, _, text = change.partition("=")
        *path, last = name.removeprefix("+").split(".")
        place = content
        for key in path:
            place = place.setdefault(key, {}) if name.startswith("+") else place[key]
        assert name.startswith("+") or last in place, name
        place[last] = yaml.safe_load(text)
    return content


@pytest.mark.parametrize("preset", ["demo", "ablation"])
@pytest.mark.parametrize("table", list(ablations.TABLES))
def test_every_row_gives_parameters_that_are_accepted_and_differ(repository, preset, table):
    path = repository / "presets" / f"{preset}.yaml"
    names = list(presets.content(path)["sources"]["labeled"])
    if table == "auxiliary" and preset == "demo":
        with pytest.raises(UserError, match="class_map names no source to learn classes from"):
            params.check(changed(presets.content(path), ablations.rows_of(table, names)[1].changes))
        return
    seen = []
    for row in ablations.rows_of(table, names):
        seen.append(repr(params.check(changed(presets.content(path), row.changes))))
    assert len(set(seen)) == len(seen) >= 3


def test_the_first_row_learns_from_labels_alone_and_the_last_is_the_method():
    first, *_, last = ablations.rows_of("table-9", [])
    assert "student.pseudo_labels=false" in first.changes
    assert last.changes == ()
    assert ablations.command(last, 3, "name") == ["dvc", "exp", "run", "--temp", "-n", "name", "-S", "seed=3"]
    assert "--queue" in ablations.command(first, 3, "name", queue=True)


def test_table_6_takes_one_labeled_set_at_a_time_and_measures_teachers():
    rows = ablations.rows_of("table-6", ["rooms", "streets"])
    assert [(row.label, row.changes) for row in rows] == [
        ("rooms", ("~sources.labeled.streets",)),
        ("streets", ("~sources.labeled.rooms",)),
        ("all", ()),
    ]
    assert {row.model for row in rows} == {"teacher"}


def result(row, seed, value, setting="a"):
    metrics = {"fog": {"student": {"abs_rel": value}, "teacher": {"abs_rel": 9.0}}}
    return {"table": "table-12", "row": row, "seed": seed, "setting": setting, "metrics": metrics}


def test_results_are_only_added_and_shown_as_mean_and_deviation(tmp_path):
    path = tmp_path / "results" / "ablations.jsonl"
    assert ablations.read_results(path) == []
    given = [result("alpha = 0.85", 1, 0.1), result("alpha = 0.85", 2, 0.3), result("alpha = 1.00", 1, 0.5)]
    for one in given:
        before = path.read_text() if path.exists() else ""
        ablations.add_result(one, path)
        assert path.read_text().startswith(before)
    ablations.add_result(result("alpha = 0.85", 1, 7.0, setting="b"), path)
    assert ablations.read_results(path)[:3] == given
    shown = ablations.render("table-12", ablations.rows_of("table-12", []), ablations.read_results(path), "a")
    # The paper prints 0.188 and 0.175 as the means of its six sets.
    assert "| alpha = 0.85 | 0.2000 ± 0.1414 | 2 | 0.175 |" in shown
    assert "| alpha = 1.00 | 0.5000 | 1 | 0.188 |" in shown
    assert "| alpha = 0.70 | missing | 0 |" in shown
    every = ablations.every_setting("table-12", ablations.rows_of("table-12", []), ablations.read_results(path), "a")
    before, now = every.split("Setting a, parameters and code as now")
    assert "Setting b, other parameters or code than now" in before
    assert "7.0000" in before and "7.0000" not in now and shown in now


def test_what_was_measured_is_not_run_again(monkeypatch, repository):
    settings = presets.load(repository / "presets" / "demo.yaml")
    known = [result(row.label, 1, 0.1, "s") for row in ablations.rows_of("table-12", [])]
    monkeypatch.setattr(ablations, "setting_of", lambda settings: "s")
    monkeypatch.setattr(ablations, "read_results", lambda: known)
    monkeypatch.setattr(ablations.subprocess, "run", lambda *words, **options: pytest.fail("ran"))
    ablations.run_table("table-12", [1], settings)


def test_code_that_is_not_committed_is_refused(tmp_path, repository, monkeypatch):
    settings = presets.load(repository / "presets" / "demo.yaml")
    monkeypatch.chdir(tmp_path)
    for folder in ("depth_model", "tasks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.py").write_text("")
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *words], check=True)
    first = ablations.setting_of(settings)
    assert ablations.setting_of(replace(settings, seed=99)) == first
    assert ablations.setting_of(replace(settings, alpha=0.5)) != first
    (tmp_path / "notes.md").write_text("not code")
    assert ablations.setting_of(settings) == first
    (tmp_path / "tasks" / "one.py").write_text("changed = True")
    with pytest.raises(UserError, match="commit the changes there"):
        ablations.setting_of(settings)
