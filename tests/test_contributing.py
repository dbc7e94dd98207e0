"""The examples of docs/contributing.md, made in a copy of the repository: few files, and what they add works."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from depth_model import readers
from depth_model.reading.collecting import collect_source
from depth_model.training.settings import TrainingMachine

LIMITS = {"A loss term": 3, "A parameter": 3, "An encoder": 4, "A stage": 3}
SQUARED = "tests/depth_model/objectives/test_squared.py"
EDIT = re.compile(r"(?:(New file|In) `([\w/.]+)`:\n\n)?```(python|diff|bash)\n(.*?)```", re.DOTALL)
SMALL = {
    "encoder": {"weights": "none"},
    "teacher": {"encoder": "tiny", "epochs": 1, "batch": 2},
    "training": {"crop": 28},
    "machine": {"training": asdict(TrainingMachine(workers=0))},
}
"""Of params.yaml, for a teacher of two steps."""
TEACHERS = """
import json, math, sys, tempfile
from pathlib import Path

import pytest
import yaml

assert pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[3:]]) == 0

from depth_model.errors import UserError
from depth_model.shards.pool import SamplePool
from depth_model.training import collapse
from depth_model.training.teacher import train_teacher
from tasks.settings import params

collapse.CONSTANT = math.inf  # two steps teach nothing
pool = SamplePool(Path(sys.argv[1]), "labeled", {"scenes": {"samples": 4}}, None)
for changes in json.loads(sys.argv[2]):
    content = yaml.safe_load(Path("params.yaml").read_text())
    for section, values in changes.items():
        content[section].update(values)
    try:
        given = params.check(content)
    except UserError as error:
        print(json.dumps(str(error)))
        continue
    with tempfile.TemporaryDirectory() as scratch:
        parts = given.encoder.weights, given.teacher, given.training, given.seed, Path(scratch)
        _, history = train_teacher(pool, *parts, lambda *_: None, given.machine.training)
    print(json.dumps([dict(zip(history.columns, row[1:])) for row in history.rows]))
"""
"""Run tests, then train; in one process, because torch takes seconds to import."""


@pytest.fixture
def copy(repository, tmp_path):
    """A copy of the files of the repository, to be edited."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repository / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with the labeled source `scenes` of four pictures."""
    folder, reader = tmp_path_factory.mktemp("scenes"), readers.get("rendered_world")
    options = reader.options(domain="rooms", count=4, seed=1, height=48, width=64)
    result, sizes = folder / "data" / "labeled" / "scenes", {"max_side": 64, "minimum_side": 8}
    collect_source(reader, folder, options, folder / "scratch", result, **sizes, samples_per_shard=4, workers=1)
    return folder / "data"


def run(copy, *command):
    """Run Python in the copy, with the packages of the copy; returns what it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(copy), "PATH": path}
    ended = subprocess.run([sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def contents(folder):
    """What every file of the folder holds, without compiled ones and the note of the command line on what it made."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    found = (path for path in files if path.name != ".depth-anything.made")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def make(copy, title):
    """Make the edits of the example `title`; no more files may change than its limit."""
    page, before = (copy / "docs" / "contributing.md").read_text(), contents(copy)
    path, edits = None, EDIT.findall(page.partition(f"\n## {title}\n")[2].partition("\n## ")[0])
    assert edits
    for how, named, kind, block in edits:
        path = copy / named if named else path
        if kind == "bash":
            program, *arguments = shlex.split(block)
            assert program == "depth-anything"
            run(copy, "-c", "from tasks.commands.main import main; main()", *arguments)
        elif kind == "python":
            assert how == "New file" and path.parent.is_dir() and not path.exists()
            path.write_text(block)
        else:
            path.write_text(edited(path.read_text(), block.splitlines(keepends=True)))
    after = contents(copy)
    changed = {name for name in after if after[name] != before.get(name)}
    assert before.keys() <= after.keys() and 0 < len(changed) <= LIMITS[title], changed
    return changed


def edited(text, lines):
    old, new = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
    assert text.count(old) == 1, old
    return text.replace(old, new)


def teachers(copy, data, tests, *changes):
    """Run the tests of the copy that `tests` gives to pytest, and train a teacher of two steps with each of `changes`
    of params.yaml; returns its history or why it is refused."""
    given = [{name: SMALL.get(name, {}) | one.get(name, {}) for name in {*SMALL, *one}} for one in changes]
    printed = run(copy, "-c", TEACHERS, str(data), json.dumps(given), *tests).splitlines()
    return [json.loads(line) for line in printed[-len(given) :]]


def test_every_example_has_its_limit(repository):
    titles = re.findall(r"^## (.+)$", (repository / "docs" / "contributing.md").read_text(), re.MULTILINE)
    assert titles == list(LIMITS)


@pytest.mark.slow
def test_a_loss_term(copy, data):
    make(copy, "A loss term")
    (history,) = teachers(copy, data, [SQUARED], {})
    assert len(history) == 2
    for row in history:
        assert row["squared"] > 0
        assert row["loss"] == pytest.approx(row["affine_invariant"] + 0.5 * row["squared"])


@pytest.mark.slow
def test_a_parameter(copy, data):
    make(copy, "A loss term")
    changed = make(copy, "A parameter")
    assert "params.yaml" in changed
    assert re.search(r"^  squared: 0.0 +# weight of the squared", (copy / "params.yaml").read_text(), re.MULTILINE)
    weights = ({"training": {"squared": weight}} for weight in (0.0, 2.0, -1.0))
    without, strong, refused = teachers(copy, data, [SQUARED], *weights)
    assert refused.startswith("params.yaml: training.squared = -1.0: ") and "greater than or equal to 0" in refused
    assert all("squared" not in row and row["loss"] == pytest.approx(row["affine_invariant"]) for row in without)
    for row in strong:
        assert row["loss"] == pytest.approx(row["affine_invariant"] + 2 * row["squared"])
    assert strong[1]["affine_invariant"] != without[1]["affine_invariant"]


@pytest.mark.slow
def test_an_encoder(copy, data):
    make(copy, "An encoder")
    tests = ["tests/depth_model/networks/test_depth_anything.py", "-k", "test_counts_of and vitt"]
    sizes = ({"teacher": {"encoder": size}} for size in ("vitt", "vitt_reg"))
    history, registers = teachers(copy, data, tests, *sizes)
    assert len(history) == len(registers) == 2
    assert all(0 < row["loss"] < 10 and row["gradient_norm/encoder"] > 0 for row in (*history, *registers))


@pytest.mark.slow
def test_a_stage(copy):
    make(copy, "A stage")
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/tasks/test_unreadable.py", "tests/test_graph.py")
    (copy / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (copy / "data" / "catalog").mkdir(parents=True, exist_ok=True)
    (copy / "data" / "catalog" / "labeled.json").write_text('{"rooms": {"quarantined": 3, "samples": 1}}')
    run(copy, "-m", "dvc", "repro", "--single-item", "unreadable")
    assert json.loads((copy / "reports" / "unreadable.json").read_text()) == {"rooms": 0.75}
