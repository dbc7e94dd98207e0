"""What the docs show works as written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tasks.commands import documentation
from tasks.settings import params, presets

NAMED_BY_USERS = {"sources", "export", "finetune_metric", "finetune_semantic", "evaluate_metric", "evaluate_semantic"}
SECTION = r"(?:A(?:\.\d+)?|\d+(?:\.\d+)?)"


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


def pages(repository):
    return [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]


def anchors(page):
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_between_the_pages_leads_somewhere(repository):
    for page in pages(repository):
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
            led = page.parent / target if target else page
            assert led.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(led), f"{page.name}: {target}#{anchor}"


def test_the_index_lists_every_page(repository):
    folder = repository / "docs"
    listed = set(re.findall(r"\]\(([^)#]+)\)", (folder / "index.md").read_text()))
    assert {str(page.relative_to(folder)) for page in folder.rglob("*.md")} - listed == {"index.md"}


def test_every_page_that_a_file_names_is_there(repository):
    for path in tracked(repository, "*.py", "*.yaml", "*.toml", "Makefile"):
        for page in re.findall(r"\bdocs/[\w\-/]+\.md", path.read_text()):
            assert (repository / page).exists(), f"{path}: {page}"


def test_every_cited_section_of_the_paper_page_is_there(repository):
    page = (repository / "docs" / "paper.md").read_text()
    sections = set(re.findall(rf"^(?:#+ |- \*\*)({SECTION})(?=[. ])", page, re.MULTILINE))
    cited = set()
    for path in tracked(repository, "*.py"):
        text = re.sub(r"\n\W*", " ", path.read_text()) if path.name != "test_docs.py" else ""
        for start in (match.end() for match in re.finditer(r"\bpaper\.md\b", text)):
            named = re.match(rf" ({SECTION}(?:(?:, | and ){SECTION})*)", text[start:])
            assert named, f"{path}: cite as docs/paper.md 4.2, not ...{text[start - 30 : start + 30]}..."
            assert text[:start].endswith("docs/paper.md"), f"{path}: {text[start - 30 : start + 10]}"
            cited |= {(path.name, section) for section in re.findall(SECTION, named[1])}
    assert len(cited) > 50
    assert {(name, section) for name, section in cited if section not in sections} == set()


def tracked(repository, *patterns):
    found = subprocess.run(["git", "ls-files", *patterns], cwd=repository, capture_output=True, text=True, check=True)
    return [path for name in found.stdout.split() if (path := repository / name).exists()]


def test_every_parameter_that_a_guide_names_is_in_params_yaml(repository):
    content = yaml.safe_load((repository / "params.yaml").read_text())
    named = set()
    for page in (repository / "docs").glob("*.md"):
        for section, key in re.findall(r"[`\s]([a-z_]+)\.([a-z_]+)(?=[`:= ,])", page.read_text()):
            if isinstance(content.get(section), dict) and section not in NAMED_BY_USERS and key not in ("json", "onnx"):
                named.add((page.name, section, key))
    assert len(named) > 25
    assert {one for one in named if one[2] not in content[one[1]]} == set()


def test_the_pages_that_the_code_writes_are_up_to_date(repository):
    for name, page in documentation.PAGES.items():
        written = (repository / documentation.FOLDER / name).read_text()
        assert written == page(), f"{name}: run 'make docs'"


def test_the_site_builds_without_a_broken_link(repository, tmp_path):
    for name in ("mkdocs.yml", "docs"):
        (shutil.copytree if (repository / name).is_dir() else shutil.copy)(repository / name, tmp_path / name)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    listed = re.findall(r"^ +- (.+\.md)$", (tmp_path / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(
        path.relative_to(tmp_path / "docs").as_posix() for path in (tmp_path / "docs").rglob("*.md")
    )
