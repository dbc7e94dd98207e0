"""The joined figures, the closing table and the page hold what was measured, and nothing of the machine."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from tasks import summarise
from tasks.commands import summary
from tasks.report import sections
from tests.tasks.page_reader import Page

METRICS = ("abs_rel", "delta1", "delta2", "delta3", "rmse", "log10", "silog")


def measured(value):
    return dict.fromkeys(METRICS, value)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "reports" / "evaluation" / "relative"
    folder.mkdir(parents=True)
    for name, (teacher, student) in {"fog": (0.2, 0.1), "columns": (0.4, 0.5)}.items():
        models = {"teacher": measured(teacher), "student": measured(student), "constant": measured(0.6)}
        content = {"set": name, "images": 3, "skipped": [{"key": "a", "reason": "b"}], "models": models}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_the_mean_is_that_of_the_sets(project):
    figures = summarise.joined(["fog", "columns"])
    assert list(figures) == ["fog", "columns", "mean"]
    assert figures["mean"]["teacher"]["abs_rel"] == pytest.approx(0.3)
    assert figures["mean"]["student"]["abs_rel"] == pytest.approx(0.3)


def test_only_metrics_of_every_set_are_joined(project):
    path = project / "reports" / "evaluation" / "relative" / "fog.json"
    content = json.loads(path.read_text())
    for values in content["models"].values():
        values["boundary_f1"] = 0.5
    content["models"]["teacher"]["silog"] = None
    path.write_text(json.dumps(content))
    figures = summarise.joined(["columns", "fog"])
    assert list(figures["fog"]["teacher"]) == [metric for metric in METRICS if metric != "silog"]


def test_the_table_has_a_row_per_set_and_model(project):
    rows = list(csv.DictReader(io.StringIO(summarise.table(summarise.joined(["fog", "columns"])))))
    assert len(rows) == 9
    assert rows[1] == {"set": "fog", "model": "student", **dict.fromkeys(METRICS, "0.1")}


def test_the_closing_table_shows_every_set(project):
    text = "\n".join(summary.lines(summarise.joined(["fog", "columns"])))
    assert "0.5000" in text
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["fog", "columns", "mean"]


ONE = {"images": 50, "better": 41, "before": 0.112, "after": 0.087, "low": -0.031, "high": -0.019}


def compared(outcome):
    against = {"teacher": {"all": ONE | {"outcome": outcome}, "sets": {"fog": ONE | {"outcome": outcome}}}}
    return {"model": "student", "images": 50, "minimum": 20, "against": against, "failures": {}, "refusal": ""}


def a_case(rank):
    titles = ("image", "truth", "teacher", "student", "error of student")
    pictures = {title: b"RIFF" + title.encode() for title in titles}
    facts = {"rank": rank, "images": 3, "key": f"image {rank}", "unit": "m", "nearest": 1.0, "farthest": 4.0}
    return facts | {"scores": {"student": "AbsRel 0.100"}, "pictures": pictures}


def a_page(**changes):
    figures = {
        "fog": {"teacher": measured(0.2), "student": measured(0.1), "constant": measured(0.6)},
        "mean": {"teacher": measured(0.2), "student": measured(0.1), "constant": measured(0.6)},
    }
    values = {
        "comparison": compared("better"),
        "verdicts": [],
        "figures": figures,
        "sets": {"fog": {"images": 3, "skipped": [], "constant_predictions": {}, "failures": {}}},
        "galleries": {"fog": [a_case(0), a_case(2)]},
        "worst": [("fog", "a", "0.300", "0.200", "0.600", "")],
        "history": sections.history("", "", True),
        "more": {
            "Data": sections.data_section(
                {"labeled": {"rooms": {"samples": 5, "quarantined": 2}}}, [("labeled/rooms", "truncated <script>", 2)]
            )
        },
        "parameters": {"alpha": 0.85, "student": {"trim": 0.1}},
    }
    return sections.page(**(values | changes))


def test_the_page_begins_with_whether_it_got_better():
    better, worse = ONE | {"outcome": "better"}, ONE | {"outcome": "not better"}
    against = {
        "start": {"all": better, "sets": {"held_out": better}},
        "teacher": {"all": worse, "sets": {"fog": worse}},
    }
    comparison = {"model": "student", "images": 50, "minimum": 20, "against": against}
    text = text_of(
        a_page(comparison=comparison | {"failures": {"student": 1}, "refusal": "it failed on 1 of 51 images"})
    )
    told = "better on 41 of 50 images, AbsRel 0.112 → 0.087 [-0.031, -0.019]"
    assert "The student is better than the model it started from." in text
    assert f"The student against the model it started from: {told}: use the new one." in text
    assert f"The student against its teacher: not better, {told}." in text
    assert "The student failed on 1 of 50 images." in text
    assert "It does not become the champion: it failed on 1 of 51 images." in text
    assert text.index("use the new one") < text.index("Below, both are measured")


def test_the_page_fetches_nothing_and_escapes_what_it_shows():
    page = a_page()
    found = Page(page)
    assert found.fetched == [] and all(link.startswith("#") for link in found.links)
    assert page.count("<script>") == 1
    text = found.text
    for part in ("fog", "0.1000", "student.trim", "labeled/rooms", "50.0% lower"):
        assert part in text


def test_the_better_of_the_two_models_is_marked_and_never_the_constant():
    page = a_page()
    assert "<span class='best'>0.1000</span>" in page  # AbsRel of the student
    assert "<span class='best'>0.2000</span>" in page  # delta1 of the teacher
    assert "<span class='best'>0.6000</span>" not in page


def test_nothing_is_marked_or_called_better_by_too_few_images():
    page = a_page(comparison=compared("too few images to tell"))
    text = text_of(page)
    assert "class='best'" not in page and "verdict too-few-images-to-tell" in page
    assert "Too few images to tell whether the student is better than its teacher: 50 were measured, 20" in text
    assert "50.0% lower than its teacher's, from too few images to tell." in text
    assert "too few" not in text_of(a_page())


def test_every_picture_of_an_image_is_there_with_words_for_it_and_the_worst_is_named():
    page = a_page(verdicts=["The model metric/nyu is worth nothing."])
    assert page.count("data:image/webp;base64,") == 10
    assert "alt='error of student of image 2'" in page
    text = text_of(page)
    assert "number 3 of 3, the worst: student AbsRel 0.100" in text
    assert "Depth: red 1 to blue 4 m." in text
    assert text.index("The model metric/nyu is worth nothing.") < text.index("Did it get better?")


def test_of_many_sets_fewer_images_are_shown_and_always_the_worst():
    many = {str(number): [a_case(rank) for rank in range(6)] for number in range(12)}
    shown = sections.shown_cases(many)
    assert [one["rank"] for one in shown["0"]] == [4, 5]
    assert len(sections.shown_cases({"one": many["0"]})["one"]) == 6


def test_the_worst_cases_of_all_sets_begin_with_failures():
    def table(errors, constant):
        rows = [("student", key, value) for key, value in errors.items()]
        rows += [("constant", key, constant) for key in errors]
        found = pd.DataFrame(rows, columns=["model", "key", "abs_rel"])
        return found.assign(failure=np.where(found["abs_rel"].isna(), "no map", ""), remark="")

    tables = {"fog": table({"a": 0.1, "b": 0.5}, 0.6), "columns": table({"c": float("nan"), "d": 0.3}, 0.4)}
    assert sections.worst_cases(tables) == [
        ("columns", "c", "failed", "", "0.400", "no map"),
        ("fog", "b", "0.500", "", "0.600", ""),
        ("columns", "d", "0.300", "", "0.400", ""),
        ("fog", "a", "0.100", "", "0.600", ""),
    ]


def test_a_student_that_loses_is_said_so():
    models = {"teacher": measured(0.1), "student": measured(0.2), "constant": measured(0.6)}
    assert "100.0% higher" in a_page(figures={"fog": models, "mean": models})


def text_of(page):
    return Page(page).text


def test_what_does_not_beat_the_constant_is_said_so():
    models = {"teacher": measured(0.1), "student": measured(0.7), "constant": measured(0.6)}
    text = text_of(a_page(figures={"fog": models, "mean": models}))
    assert "not better than the constant: student." in text
    assert "not better than the constant" not in text_of(a_page())


def test_images_that_were_not_measured_and_dead_predictions_are_counted():
    skipped = [{"key": str(key), "reason": "no ground truth"} for key in range(2)]
    fog = {
        "images": 1,
        "skipped": skipped,
        "constant_predictions": {"student": 1},
        "failures": {"student": 2, "teacher": 0},
    }
    text = text_of(a_page(sets={"fog": fog}))
    assert "1 image measured. 2 images could not be measured: no ground truth (2)." in text
    assert "The student's prediction is one constant on 1 image." in text
    assert "The student failed on 2 images." in text and "The teacher failed" not in text
    assert "could not" not in text_of(a_page())


def test_the_audit_names_both_images_of_a_pair_and_shows_them():
    sources = {
        "labeled/rooms": {"images": 5, "leak": 1, "exact_duplicate": 0, "near_duplicate": 2},
        "unlabeled/hills": {"images": 7, "leak": 0, "exact_duplicate": 0, "near_duplicate": 0},
    }
    pair = {"reason": "leak", "image": "labeled/rooms: <a>", "repeats": "evaluation/fog: b", "picture": "0000.jpg"}
    finetuning = {"metric/nyu": {"images": 9, "leak": 2}, "semantic/<ade>": {"images": 5, "leak": 0}}
    leak = pair | {"reason": "finetuning_leak", "picture": "0001.jpg", "distance": 0, "correlation": 1.0}
    pairs = [pair | {"distance": 4, "correlation": 0.93}, leak]
    repeats = [("labeled/rooms", "evaluation/fog", "leak"), ("metric/nyu", "metric/nyu_test", "finetuning_leak")]
    between = [{"source": one, "other": two, "reason": reason, "images": 1} for one, two, reason in repeats]
    found = {"sources": sources, "finetuning": finetuning, "pairs": pairs}
    summary = found | {"between": between, "both": ["semantic/<city>"]}
    section = sections.audit_section(summary, dict.fromkeys(("0000.jpg", "0001.jpg"), b"\xff\xd8"))
    text = text_of(section)
    assert "Of 12 training images, 3 are left out of training" in text
    assert "labeled/rooms: <a> repeats evaluation/fog: b (4 bits, correlation 0.93)" in text
    assert "unlabeled/hills" not in text
    assert "labeled/rooms evaluation/fog an evaluation image; left out of training 1" in text
    assert "metric/nyu metric/nyu_test measured on; not left out 1" in text
    assert "Learned from and measured on at once: semantic/<city>." in text
    assert "not left out, as the splits are official: 2 of 9 of metric/nyu." in text
    assert "2 finetuning leak, the first of them" in text
    assert section.count("data:image/jpeg;base64,/9g=") == 2
    assert "<a>" not in section
    clean = {"unlabeled/hills": sources["unlabeled/hills"]}
    assert "None of the 7" in text_of(sections.audit_section({"sources": clean, "finetuning": {}, "pairs": []}, {}))


def test_metric_models_stand_beside_the_constant_in_meters():
    values = {"abs_rel": 0.25, "delta1": 0.5, "rmse": 1.5, "log10": 0.1, "silog": 20.0}
    models = {"metric/nyu": values, "constant": values | {"abs_rel": 0.75}}
    section = sections.metric_section({"nyu": {"models": models, "images": 24}}, {"nyu": [a_case(0)]}, ["It is good."])
    assert section.count("<tr") == 3
    assert "0.2500" in section and "0.7500" in section and "It is good." in section
    assert section.count("data:image/webp;base64,") == 5
    assert "No metric model" in sections.metric_section({}, {})


def test_scenes_are_shown_with_the_share_of_every_source():
    summary = {
        "encoder": "tiny, none",
        "images": {"labeled/rooms": 40, "unlabeled/<hills>": 100, "unlabeled/empty": 0},
        "effective": {"labeled": 1.0, "unlabeled": 1.8},
        "scenes": [{"unlabeled/<hills>": 75.0}, {"labeled/rooms": 40.0, "unlabeled/<hills>": 25.0}],
    }
    section = sections.scenes_section(summary, [b"\xff\xd8 first", b"\xff\xd8 second"])
    assert "<td>40</td><td></td><td>100</td>" in section
    assert "<td>100</td><td>75</td><td>25</td>" in section
    assert "<td>0</td><td></td><td></td>" in section
    assert "Scene 1: 53.6 % of all. About unlabeled/&lt;hills&gt; 75" in section
    assert section.count("data:image/jpeg;base64,") == 2 and "<hills>" not in section
    assert sections.scenes_section(summary | {"scenes": []}, []).strip() == "<p>There are no training images.</p>"


def test_a_teacher_that_was_not_measured_is_left_out_of_the_comparison():
    models = {"student": measured(0.1), "constant": measured(0.6)}
    text = text_of(a_page(figures={"fog": models, "mean": models}))
    assert "the student's AbsRel is 0.1000" in text and "teacher's" not in text


def test_the_first_sentence_says_what_was_trained_from_what():
    said = sections.history("data/models/big", "data/models/mine", False)
    assert said == (
        "data/models/big was the teacher, which labeled the unlabeled images; a student that started as "
        "data/models/mine learned from these labels alone."
    )
