"""The graph of a run: states from the lock file, times in words, a picture without arrows that others imply."""

from __future__ import annotations

import pytest

from tasks.report import sections
from tasks.report.run_graph import duration, picture, stages
from tests.tasks.page_reader import Page

GRAPH = {
    "report": ["summarise", "train"],
    "summarise": ["train"],
    "train": ["collect@a", "collect@b", "list"],
    "collect@a": ["list"],
    "collect@b": ["list"],
    "list": [],
}
LOCK = {
    "list": {"outs": [{"path": "list.json", "md5": "1"}]},
    "collect@a": {"deps": [{"path": "list.json", "md5": "1"}], "outs": [{"path": "a", "md5": "2"}]},
    "collect@b": {"deps": [{"path": "list.json", "md5": "0"}], "outs": [{"path": "b", "md5": "3"}]},
    "train": {"deps": [{"path": "a", "md5": "2"}, {"path": "code", "md5": "9"}]},
}


def found():
    return stages(GRAPH, LOCK, {"collect@a": 3.2, "collect@b": 60, "train": 4000}, "report")


def test_a_stage_is_done_out_of_date_not_run_or_this_page():
    assert {one.address: one.state for one in found()} == {
        "list": "done",
        "collect@a": "done",
        "collect@b": "out of date",  # read a list that was made anew since
        "train": "done",
        "summarise": "not run",
        "report": "this page",
    }
    assert [one.address for one in found()] == list(GRAPH)[::-1][:1] + ["collect@a", "collect@b", *list(GRAPH)[2::-1]]


def test_stages_of_one_name_share_a_box_and_arrows_are_only_those_that_are_needed():
    drawn = picture(found())
    boxes = {one.name: one for one in drawn.boxes}
    assert boxes["collect"].text == "↻ 1 of 2 out of date, 1:03 min"
    assert boxes["train"].text == "✓ done, 1:06 h" and boxes["list"].text == "✓ done"
    assert len(drawn.arrows) == 4  # a chain: list, collect, train, summarise, report
    assert [one.top for one in drawn.boxes] == sorted({one.top for one in drawn.boxes})


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "under 1 s"), (59.4, "59 s"), (185, "3:05 min"), (7800, "2:10 h"), (90000, "25:00 h")]
)
def test_times_are_told_as_people_write_them(seconds, told):
    assert duration(seconds) == told


def test_the_section_counts_states_in_words_and_names_every_stage():
    text = Page(sections.run_section(found(), [("commit", "abc")])).text
    assert "6 stages: 3 done, 1 out of date, 1 not run, 1 this page." in text
    assert "together 1:07 h" in text and "collect@b ↻ out of date 1:00 min" in text and "commit abc" in text
    assert "There is no graph" in Page(sections.run_section([], [])).text
