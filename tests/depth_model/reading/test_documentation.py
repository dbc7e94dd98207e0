"""The page of data sets says what the readers say, and the worked example works as written."""

from __future__ import annotations

import inspect
import re

import pytest

from depth_model import readers
from depth_model.reading import documentation
from tests.depth_model.readers import contract, layouts


def test_the_page_is_what_the_readers_say(repository):
    written = (repository / documentation.PAGE).read_text()
    assert written == documentation.page(), "run: python -m depth_model.reading.documentation"


@pytest.fixture
def example(repository, tmp_path, monkeypatch):
    """The code of the worked example, where readers and layouts are looked for."""
    text = (repository / "docs" / "adding-a-data-set.md").read_text()
    for title, package in (("The reader", readers), ("The test", layouts)):
        (path, code) = re.search(rf"## \d\. {title}: `(.*?)`\n\n```python\n(.*?)```", text, re.DOTALL).groups()
        file = tmp_path / path
        assert (repository / path).parent.is_dir()
        file.parent.mkdir(parents=True)
        file.write_text(code)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    return readers.get("corridors")


@pytest.mark.parametrize("check", contract.CHECKS)
def test_the_worked_example_keeps_the_contract(example, check, tmp_path, request):
    root = tmp_path / "root"
    layout = layouts.layout("corridors", root)
    given = {"reader": example, "root": root, "layout": layout}
    wanted = inspect.signature(contract.CHECKS[check]).parameters
    contract.CHECKS[check](**given, **{one: request.getfixturevalue(one) for one in wanted if one not in given})
    assert "corridors" in documentation.page()


def test_the_worked_example_would_be_caught(example, tmp_path):
    """The contract is not empty: a wrong unit in the layout's expectation is seen."""
    root = tmp_path / "root"
    written = layouts.layout("corridors", root)
    wrong = layouts.Layout({key: value * 10 for key, value in written.targets.items()}, refused=written.refused)
    with pytest.raises(AssertionError):
        contract.samples_are_as_written(example, root, wrong)
