"""What the docs show works as written."""

from __future__ import annotations

import re

import pytest
import yaml

from tasks.settings import params, presets


@pytest.fixture
def example(repository):
    block = re.search(r"```yaml\n(.*?)```", (repository / "docs" / "own-data.md").read_text(), re.DOTALL)
    return yaml.safe_load(block.group(1))


def test_the_example_of_own_data_is_accepted(repository, example):
    demo = presets.content(repository / "presets" / "demo.yaml")
    checked = params.check(demo | example)
    assert set(checked.sources.labeled) == {"seven_scenes", "tum"}


def test_the_example_reads_the_real_samples(repository, example, samples):
    from depth_model import readers

    counts = {}
    for role in params.ROLES:
        for name, content in example["sources"][role].items():
            source = params.Source(**content)
            reader, root = readers.get(source.reader), repository / source.root
            counts[name] = sum(1 for _ in reader.items(root, source.chosen_options()))
    assert counts == {"seven_scenes": 41, "tum": 2, "photos": 42, "icl_nuim": 3, "redwood": 3}


def test_every_link_between_the_pages_leads_somewhere(repository):
    for page in [repository / "README.md", *(repository / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
