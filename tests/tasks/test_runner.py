"""The runner: which stage it runs, what it refuses, and that nothing of params.yaml reaches a shell."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import yaml

from depth_model.errors import UserError
from tasks.runner import chosen_address, module_of
from tasks.settings import params
from tests.tasks.starting import make_project

pytestmark = pytest.mark.hostile

HOSTILE = [
    "x$(touch owned)",
    "x`touch owned`",
    "x; touch owned",
    "x && touch owned",
    "x | touch owned",
    "x\ntouch owned",
    'x" && touch owned && "',
    "../../precious",
    "/etc/passwd",
    "--help",
    "",
    "CON",
    "x y",
    "ä",
]
SECTIONS = ["export", "models", "finetune_metric", "evaluate_metric", "finetune_semantic", "evaluate_semantic"]
SECTIONS += [f"sources.{role}" for role in params.ROLES]


@pytest.mark.parametrize(
    ("running", "given", "address"),
    [
        ("", "collect_labeled@rooms", "collect_labeled@rooms"),
        ("collect_labeled@rooms", "collect_labeled", "collect_labeled@rooms"),
        ("../dvc.yaml:collect_labeled@rooms", "collect_labeled", "collect_labeled@rooms"),
        ("dvc.yaml:train_teacher", "train_teacher", "train_teacher"),
        ("evaluate_relative@fog", "collect_labeled@rooms", "collect_labeled@rooms"),  # one by hand inside another
    ],
)
def test_dvc_says_which_one_it_is_and_by_hand_the_address_does(monkeypatch, running, given, address):
    monkeypatch.setenv("DVC_STAGE", running)
    assert chosen_address(given) == address


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_that_is_no_name_is_refused(monkeypatch, key):
    monkeypatch.setenv("DVC_STAGE", f"dvc.yaml:collect_labeled@{key}")
    with pytest.raises(UserError, match="NAME or NAME@KEY"):
        chosen_address("collect_labeled")


def test_stages_find_their_module_and_others_are_refused(monkeypatch):
    assert module_of("collect_metric@nyu").__name__ == "tasks.collect"
    assert module_of("validate_sky").__name__ == "tasks.validate"
    assert module_of("report").__name__ == "tasks.report"
    for name in ("settings", "commands", "nothing"):
        with pytest.raises(UserError, match="no such stage"):
            module_of(name)


def with_key(content, section, key):
    part = content
    for name in section.split("."):
        part = part.setdefault(name, {})
    part[key] = dict(next(iter(part.values()))) if part else {"source": "none"}
    return content


@pytest.mark.parametrize("section", SECTIONS)
def test_hostile_keys_are_refused_in_every_section(repository, section):
    complete = yaml.safe_load((repository / "params.yaml").read_text())
    for key in HOSTILE:
        content = with_key(copy.deepcopy(complete), section, key)
        with pytest.raises(UserError):
            params.check(content)


@pytest.mark.slow
@pytest.mark.parametrize("key", HOSTILE[:7])
def test_a_bare_dvc_hands_no_key_to_a_shell(tmp_path, repository, key):
    content = with_key(yaml.safe_load((repository / "params.yaml").read_text()), "sources.unlabeled", key)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    make_project(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "inventory"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert not list(tmp_path.rglob("*owned*"))
