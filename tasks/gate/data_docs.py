"""Data Docs: what is expected of the collection and what was found, as pages of Great Expectations.

Writes `reports/data_docs/`: a page for the sources and one for the samples of each role that is collected, and
`index.html`. The pages need no network: what Great Expectations would load from elsewhere is taken out, and a style
sheet of the project takes its place. A by-product that no stage depends on: it says when it was made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import UserError
from tasks.gate.checks import checked
from tasks.gate.suites import ANNOTATED, SAMPLE_SUITES, SOURCE_SUITES, sample_suite
from tasks.gate.tables import sample_pieces, sources_table
from tasks.report.pages import document, html_table
from tasks.workspace.paths import known_sources

FOLDER = Path("reports/data_docs")
_STYLE = Path(__file__).with_name("data_docs.css")
_HEAD = ["role", "looked at", "rows", "expectations met"]
_INTRODUCTION = "What is expected of the collection, and what Great Expectations found."
# Scripts need jQuery from elsewhere and only fold and filter; the pages show everything.
_LOADED = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*\bsrc=\"https?:[^>]*>|<footer\b.*?</footer>", re.DOTALL
)
_SUITE_PAGE = re.compile(r"<a href=\"(?:\.\./)+expectations/[^>]*>(.*?)</a>")
_REMOTE_IMAGE = re.compile(r"url\(['\"]?https?:[^)]*\)")
_FROM_ELSEWHERE = re.compile(
    r"<(?!a\b)[a-z]+\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//[^>]*>|@import|url\(['\"]?https?:"
)


def offline(page: str) -> str:
    """Return the HTML `page` of Great Expectations with the project's style and nothing that is loaded from elsewhere.

    Raises RuntimeError when something remains that this does not know: another version of Great Expectations.
    """
    page = _REMOTE_IMAGE.sub("none", _LOADED.sub("", page))
    page = _SUITE_PAGE.sub(r"\1", page).replace("../../../../index.html", "index.html")
    page = page.replace("</head>", f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head>", 1)
    if found := _FROM_ELSEWHERE.search(page):
        raise RuntimeError(f"a page of Great Expectations would load {found.group()[:200]!r}")
    return page


def rendered(result: Any) -> str:
    """Return the page on an ExpectationSuiteValidationResult, complete HTML that needs no network, dated now."""
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResultSchema
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    # Once through JSON: the pages would show the types of numpy with every value.
    plain = ExpectationSuiteValidationResultSchema().load(result.to_json_dict())
    now = datetime.now(UTC).replace(microsecond=0)
    plain.meta["run_id"] = RunIdentifier(run_name=f"{now:%Y-%m-%d %H:%M} UTC", run_time=now)
    plain.meta["batch_spec"] = {"data_asset_name": result.suite_name}
    return offline(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(plain)))


def _results(role: str, sources: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, int, Any]]:
    """Yield (what was looked at, number of rows, what was found out) of a role."""
    import pandas as pd

    table = sources_table(role, sources)
    yield "sources", len(table), checked(table, SOURCE_SUITES[role], ["source"], f"{role} sources")
    # The sidecar of an empty source does not know the columns that its stage would have added.
    filled = table["source"][table["samples"] > 0].tolist()
    if filled:
        suite = sample_suite(role)
        samples = pd.concat(sample_pieces(role, filled, suite), ignore_index=True)
        yield "samples", len(samples), checked(samples, suite, ["source", "key"], f"{role} samples")


def _written(role: str, sources: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    for what, rows, result in _results(role, sources):
        name = f"{role}-{what}.html"
        files.write_text(FOLDER / name, rendered(result))
        counted = result.statistics
        met = f"{counted['successful_expectations']} of {counted['evaluated_expectations']}"
        link = f"<a href='{name}'>{what}</a>"
        yield ("set" if what == "sources" else ""), [role, link, str(rows), "all" if result.success else met]


def _is_collected(role: str, sources: Mapping[str, Mapping[str, Any]]) -> bool:
    from depth_model.shards import manifest

    table = manifest.SIDECAR if role in ANNOTATED else manifest.MANIFEST
    return bool(sources) and all(Path("data", role, name, table).exists() for name in sources)


def write_data_docs(roles: Iterable[str]) -> int:
    """Write the pages of `roles`, or of all that are collected when there are none, and return their number."""
    chosen, rows = list(roles), []
    if unknown := sorted(set(chosen) - set(SAMPLE_SUITES)):
        raise UserError(f"{', '.join(unknown)}: no such role (allowed: {', '.join(SAMPLE_SUITES)})")
    for role in chosen or SAMPLE_SUITES:
        sources = known_sources(ANNOTATED.get(role, role))
        if role in chosen or _is_collected(role, sources):
            rows += _written(role, sources)
    body = f"<h1>Data Docs</h1><p>{_INTRODUCTION}</p>{html_table(_HEAD, rows, texts=2)}"
    files.write_text(FOLDER / "index.html", document("Data Docs", body))
    return len(rows)
