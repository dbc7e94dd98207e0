"""A small project under git and DVC whose stages are one line of shell each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from tasks.settings import presets

TOY = """\
stages:
  inventory:
    cmd: printf "$FLOW_RUN_URL" > url.txt && echo listed && echo one > inventory.txt
    always_changed: true
    outs:
      - inventory.txt:
          cache: false
  collect:
    foreach: [rooms, streets]
    do:
      cmd: cat inventory.txt > ${item}.txt
      deps: [inventory.txt]
      outs: ["${item}.txt"]
  train:
    cmd: cat rooms.txt streets.txt > model.txt
    deps: [rooms.txt, streets.txt]
    outs: [model.txt]
"""


@pytest.fixture
def toy(tmp_path, repository, monkeypatch):
    """The toy project as current folder, with a params.yaml that is in order and nothing run yet."""
    parameters = presets.content(repository / "presets" / "demo.yaml")
    parameters["sources"] = {"labeled": {}, "unlabeled": {}, "evaluation": {}, "metric": {}, "semantic": {}}
    parameters |= {"finetune_metric": {}, "evaluate_metric": {}}
    parameters |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))
    (tmp_path / "dvc.yaml").write_text(TOY)
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    for setting in ("user.name", "user.email"):
        subprocess.run(["git", "config", setting, "test@localhost"], check=True)
    subprocess.run(["dvc", "init", "-q"], check=True)
    return tmp_path


def commit():
    """Commit all that lies in the current folder."""
    for command in (["add", "-A"], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *command], check=True)
