"""Every page of ours shows names as text whatever they hold, and forbids the browser to fetch or run anything."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.gate import data_docs
from tasks.gate.checks import checked
from tasks.gate.suites import Expectation
from tasks.report import sections
from tasks.report.pages import data_uri, render, small
from tasks.report.run_graph import Stage
from tests.tasks.page_reader import Page

pytestmark = pytest.mark.hostile

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)>",
    "end of an attribute": "'><script>alert(1)</script>",
    "attribute": "\" onmouseover='alert(1)' x=\"",
    "end of the style": "</style></title><iframe src=//x></iframe>",
    "template": "{{ 7 * 7 }}{% for %}",
    "entities": "&lt;b&gt;",
    "formats": "%s %(x)s {0}",
    "method": "items",
}
VALUES = {"abs_rel": 0.2, "delta1": 0.5, "rmse": 1.5, "log10": 0.1, "silog": 20.0}


def report(name):
    models = {"teacher": VALUES, "student": VALUES, "constant": VALUES, name: VALUES}
    counts = {"images": 5, "leak": 1, "exact_duplicate": 1, "near_duplicate": 2}
    pair = {"reason": "leak", "image": name, "repeats": name, "picture": name, "distance": 4, "correlation": 0.9}
    source = {"samples": 1, "refused": {name: 1}, "histograms": {}, "ranges": {name: [1.0, 2.0]}}
    drift = [[name, name, 1.0], [name, "removed", 1.0]]
    collected = {"sources": {name: source}, "compared": True, "drift": drift}
    scenes = {"encoder": name, "images": {name: 4}, "effective": {name: 1.0}, "scenes": [{name: 4.0}]}
    skipped = [{"key": name, "reason": name}]
    segmentation = {"models": {name: {"miou": 1.0}}, "classes": {name: 2}, "images": 1}
    repeat = {"source": name, "other": name, "reason": "leak", "images": 1}
    case = {"rank": 0, "images": 2, "key": name, "unit": name, "nearest": 1.0, "farthest": 2.0}
    case |= {"scores": {name: name}, "pictures": {name: b"RIFF"}}
    audit = {"sources": {name: counts}, "finetuning": {name: counts}, "pairs": [pair]}
    audit |= {"between": [repeat], "both": [name]}
    more = {
        name: sections.left_out_section([(name, 1, 2)]),
        "Metric": sections.metric_section({name: {"models": {name: VALUES}, "images": 1}}, {name: [case]}, [name]),
        "Segmentation": sections.semantic_section({name: segmentation}, {name: b"png"}),
        "Collection": sections.collection_section({name: collected}, {name: b"png"}, 0.25),
        "Scenes": sections.scenes_section(scenes, [b"jpeg"]),
        "Audit": sections.audit_section(
            {
                "sources": {name: counts},
                "finetuning": {name: counts},
                "pairs": [pair],
                "between": [repeat],
                "both": [name],
            },
            {name: b"jpeg"},
        ),
        "Data": sections.data_section({name: {name: {"samples": 1}}}, [(name, name, 1)]),
        "Training": sections.training_section({name: b"png"}),
        "Run": sections.run_section([Stage(name, [], "done", 1.0)], [(name, name)]),
    }
    verdict = {"images": 1, "better": 1, "before": 0.2, "after": 0.1, "low": -0.1, "high": -0.1, "outcome": "better"}
    against = {"start": {"all": verdict, "sets": {name: verdict}}}
    comparison = {"model": name, "images": 1, "minimum": 1, "against": against, "failures": {name: 1}, "refusal": name}
    return sections.page(
        comparison=comparison,
        figures={name: models},
        sets={name: {"images": 1, "skipped": skipped, "constant_predictions": {name: 1}, "failures": {name: 1}}},
        galleries={name: [case]},
        worst=[(name, name, "1.000", "", "", name)],
        verdicts=[name],
        history=name,
        parameters={name: name, "section": {name: name}},
        more=more,
    )


def validation(name):
    table = pd.DataFrame({"source": [name], "key": [name], "width": [name]})
    suite = [Expectation(name, "width", "expect_column_values_to_be_in_set", {"column": "width", "value_set": ["a"]})]
    missing = {"column": f"not {name}", "max_value": 1}
    suite.append(Expectation(name, "width", "expect_column_values_to_be_between", missing))
    return data_docs.rendered(checked(table, suite, ["source", "key"], name))


def index(name):
    counts = {"successful_expectations": 1, "unsuccessful_expectations": 1, "evaluated_expectations": 2}
    return render("data_docs", pages=[(name, name, 1, counts)])


def paper_tables(name):
    rows = [(name, True, [name, "missing"]), (name, False, [name, "missing"])]
    table = {"number": name, "title": name}
    return render("tables", note=name, tables=[(table, [name, name], rows)], missing="missing")


PAGES = {one.__name__: one for one in (report, validation, index, paper_tables)}


@pytest.fixture(scope="module", params=PAGES)
def made(request):
    """How a page is made of a name, and that of a harmless name."""
    return PAGES[request.param], Page(PAGES[request.param]("rooms"))


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_is_shown_as_text_and_changes_nothing_else(made, name):
    make, plain = made
    page = Page(make(name))
    assert page.tags == plain.tags
    assert page.fetched == []
    assert page.text.count(" ".join(name.split())) >= plain.text.count("rooms") > 1


def test_the_policy_lets_nothing_load_and_only_the_style_and_script_of_the_page_apply(made):
    make, page = made
    (style,) = re.findall(r"<style>(.*?)</style>", make("rooms"), re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", make("rooms"), re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in (style, *scripts)]
    run = "".join(f" script-src 'sha256-{one}';" for one in digests[1:])
    assert page.policies == [
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}';{run} base-uri 'none'; form-action 'none'"
    ]
    assert len(scripts) == [tag for tag, _ in page.tags].count("script") == (make is report)
    assert not {"link", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") or name == "style" for _, names in page.tags for name in names)


def test_a_name_that_is_no_unicode_can_be_written():
    assert "\\udcff" in paper_tables("\udcff").encode("utf-8").decode("utf-8")


def test_a_picture_lies_in_its_address():
    assert data_uri(b"png") == "data:image/png;base64,cG5n"
    assert data_uri(b"\xff\xd8") == "data:image/jpeg;base64,/9g="
    assert data_uri(b"RIFF") == "data:image/webp;base64,UklGRg=="


def test_a_picture_of_a_page_is_small_and_a_drawing_stays_sharp():
    drawing = Image.new("RGB", (2400, 1200), "white")
    drawing.paste((200, 0, 0), (0, 0, 1200, 1200))
    found = Image.open(io.BytesIO(small(png(drawing))))
    assert (found.format, found.size) == ("WEBP", (1600, 800))
    assert found.getpixel((100, 100)) == (200, 0, 0) and found.getpixel((1500, 700)) == (255, 255, 255)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    assert len(small(png(noise))) < len(png(noise)) / 3


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_templates_belong_to_the_package():
    found = {one.name for one in (resources.files("tasks.report") / "templates").iterdir()}
    assert {"base.html.j2", "macros.html.j2", "style.css"} <= found
    assert not [name for name in found if not name.endswith((".html.j2", ".css", ".js"))]
