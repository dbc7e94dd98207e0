"""`depth-anything tables` as a user calls it."""

from __future__ import annotations

import json

import pytest

from tasks.commands import main


@pytest.fixture
def results(tmp_path):
    content = {"protocol": {"name": "kitti/paper", "alignment": "disparity"}, "models": {"small": {"abs_rel": 0.1234}}}
    (tmp_path / "kitti" / "paper").mkdir(parents=True)
    (tmp_path / "kitti" / "paper" / "summary.json").write_text(json.dumps(content))
    return tmp_path


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", "tables", *map(str, arguments)])
    main.main()


def test_measured_rows_stand_beside_the_published(monkeypatch, results, tmp_path):
    out = tmp_path / "out"
    call(monkeypatch, "--results", results, "--row", "12:small=alpha 0.9", "-o", out)
    text, page = (out / "tables.md").read_text(), (out / "tables.html").read_text()
    assert "| **small** | 0.123 | missing |" in text
    assert "| **alpha 0.9** | 0.123 | missing |" in text
    assert text.count("**small**") == 1  # tables of ablations only take the rows they are told
    assert text.count("### Table") == 12
    assert "arXiv:2401.10891v2" in text
    assert "<b>small</b>" in page and "missing" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--row", "1:small"], "there is no such table"),
        (["--row", "12:large"], "not measured; measured are: small"),
        (["--results", "nowhere"], "no such folder"),
    ],
)
def test_what_cannot_be_told_is_one_line(monkeypatch, capsys, results, tmp_path, arguments, said):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "--results", results, *arguments, "-o", tmp_path / "out")
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
