"""The claim ledger: every number of its tables once, with a state; what was measured stands beside it."""

from __future__ import annotations

import json
import re

from depth_model.comparison import claims
from depth_model.comparison.tables import of_models, paper_tables
from depth_model.evaluation import protocols


def rows_of(page):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:2] == "| "]


def test_every_number_of_the_tables_stands_on_the_page_once(tmp_path):
    numbers = [
        value for t in paper_tables().values() if of_models(t.number) for row in t.rows.values() for value in row
    ]
    cells = [row[2] for row in rows_of(claims.page(tmp_path / "none.jsonl")) if row[0] not in ("row", "---")]
    printed = [float(value) for cell in cells for value in re.findall(r"[↑↓] ([\d.]+)", cell)]
    assert printed == [value for value in numbers if value is not None]


def test_every_row_and_set_that_is_claimed_is_known_to_the_tables_and_has_a_protocol():
    for name, one in claims.checkpoints().items():
        for number, row in one.rows.items():
            assert row in paper_tables()[number].rows, name
        named = [dataset for dataset in claims.sets() if claims.claim(dataset, name)]
        assert named and set(one.sets) <= set(named), name
        for dataset in named:
            kinds = {protocol.is_metric for protocol in protocols.variants(dataset).values()}
            assert claims.claim(dataset, name).is_metric in kinds
    for one in claims._content()["elsewhere"]:
        assert set(one["values"]) <= {metric for _, metric in paper_tables()[one["table"]].columns}
        assert one["row"] in paper_tables()[one["table"]].rows


def test_what_is_not_measured_says_the_file_and_the_command_that_it_needs(tmp_path):
    states = {(row[0], row[1]): row[5] for row in rows_of(claims.page(tmp_path / "none.jsonl"))}
    assert "`weights/depth_anything_vits14.pth`" in states["Depth Anything ViT-S", "ddad"]
    wanted = "evaluate --model weights/zoedepth-kitti --metric --set diode_outdoor --root sets/diode`"
    assert wanted in states["ZoeDepth (their environment)", "diode_outdoor"]
    assert "MMSegmentation" in states["Depth Anything ViT-L", "ade20k"]
    assert states["AdaBins", "nyu"].startswith("quoted by the paper")


def test_what_is_measured_stands_there_with_its_commit_and_command(tmp_path):
    line = {
        "table": "2",
        "row": "Depth Anything ViT-S",
        "set": "nyu",
        "variant": "paper",
        "images": 654,
        "commit": "0123456789abcdef",
        "date": "2026-11-28",
        "command": "depth-anything evaluate --calibrate",
        "values": {"abs_rel": 0.0512, "delta1": 0.9731},
    }
    path = tmp_path / "claims.jsonl"
    path.write_text(json.dumps(line) + "\n")
    (row,) = [row for row in rows_of(claims.page(path)) if row[:2] == ["Depth Anything ViT-S", "nyu"]]
    assert row[3] == "`paper`: AbsRel ↓ 0.051, δ1 ↑ 0.973"
    assert "654 images, commit 01234567: `depth-anything evaluate --calibrate`" in row[5]
