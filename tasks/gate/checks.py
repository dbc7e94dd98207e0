"""Great Expectations on tables of samples: what it finds, and a line for each expectation that fails.

Millions of rows come in pieces. An expectation that judges each row by itself is checked piece by piece, and what is
found is added up, so that memory does not grow with the rows; any other needs a table of the columns it looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from depth_model.errors import UserError
from tasks.gate.suites import ADDED, Expectation

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
_BY_ROW = {
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal",
    "expect_column_pair_values_to_be_in_set",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_null",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_not_match_regex",
    "expect_multicolumn_sum_to_equal",
    "expect_select_column_values_to_be_unique_within_record",
}


def judges_rows(expectation: Expectation) -> bool:
    """Return whether `expectation` is known to judge each row by itself and to hold only when all rows do."""
    return expectation.type in _BY_ROW and "mostly" not in expectation.arguments


def faults(pieces: Iterable[pd.DataFrame], suite: list[Expectation], index: list[str]) -> list[str]:
    """Return a line for every expectation of `suite` that fails, with rows named by the columns `index`.

    `pieces` are parts of one table when every expectation `judges_rows`, else one piece with all of it. Raises
    UserError for an expectation that makes no sense.
    """
    found: dict[int, Any] = {}
    for piece in pieces:
        for result in checked(piece, suite, index).results:
            number = result.expectation_config.meta["number"]
            found[number] = _joined(found[number], result) if number in found else result
    return [_line(suite[number], found[number], index) for number in sorted(found) if not found[number].success]


def _joined(first: Any, second: Any) -> Any:
    """Return the result of one expectation on two pieces, as one; of a piece that it could not check, that."""
    if "unexpected_count" not in first.result or "unexpected_count" not in second.result:
        return second if first.success else first
    for name in ("unexpected_count", "element_count"):
        first.result[name] += second.result[name]
    rows = "partial_unexpected_index_list"
    first.result[rows] = [*(first.result.get(rows) or []), *(second.result.get(rows) or [])][:_SHOWN]
    first.success = first.success and second.success
    return first


def checked(table: pd.DataFrame, suite: list[Expectation], index: list[str], name: str = "suite") -> Any:
    """Return what Great Expectations found out about `table`, an ExpectationSuiteValidationResult of suite `name`.

    Rows that do not fit are named by the columns `index`. Raises UserError for an expectation that makes no sense.
    """
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("data").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
    form = {"result_format": "SUMMARY", "unexpected_index_column_names": index, "partial_unexpected_count": _SHOWN}
    # One suite for all: its expectations share one pass over the columns, and come back in another order.
    wanted = [_wanted(number, one) for number, one in enumerate(suite)]
    return batch.validate(gx.ExpectationSuite(name=name, expectations=wanted), result_format=form)


def _wanted(number: int, expectation: Expectation) -> Any:
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from pydantic.v1 import ValidationError

    meta = {"number": number, "says": expectation.says}
    given = {"type": expectation.type, "kwargs": expectation.arguments, "meta": meta}
    try:
        return ExpectationConfiguration(**given).to_domain_obj()
    except (GreatExpectationsError, ValidationError) as error:
        message = " ".join(str(error).split())
        raise UserError(f"{ADDED}: {expectation.says!r}: {expectation.type}: {message}") from error


def _line(expectation: Expectation, result: Any, index: list[str]) -> str:
    if "observed_value" in result.result and "unexpected_count" not in result.result:
        return f"expected that {expectation.says}; observed {result.result['observed_value']}"
    if "unexpected_count" not in result.result:
        raise RuntimeError(f"Great Expectations could not check that {expectation.says}: {result.exception_info}")
    shown = [_row(row, index) for row in result.result["partial_unexpected_index_list"]]
    count, total = result.result["unexpected_count"], result.result["element_count"]
    more = ", ..." if count > len(shown) else ""
    return f"expected that {expectation.says}; not so for {count} of {total}: {', '.join(shown)}{more}"


def _row(row: Mapping[str, Any], index: list[str]) -> str:
    name = "/".join(str(row[column]) for column in index)
    values = ", ".join(f"{column} = {value}" for column, value in row.items() if column not in index)
    return f"{name} ({values})" if values else name
