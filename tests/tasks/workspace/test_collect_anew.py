"""A `dvc push` that was killed while it collected what to send: DVC forgets the rest, until it collects anew."""

from __future__ import annotations

import pytest
from dvc.repo import Repo
from dvc_data.index import collect as collecting

from tasks.workspace import repair


def pushed(root):
    with Repo(root) as repository:
        repository.push()
    return {path.read_text() for path in (root / "remote").rglob("*") if path.is_file()}


def test_after_a_push_that_was_killed_the_next_one_sends_all(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    with Repo.init(no_scm=True) as repository:
        for name in "abc":
            (tmp_path / name).write_text(name)
            repository.add(name)
        with repository.config.edit() as config:
            config["core"]["remote"] = "team"
            config["remote"]["team"] = {"url": str(tmp_path / "remote")}

    whole, calls = collecting._collect_from_index, []

    def killed(*given, **options):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(*given, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(collecting, "_collect_from_index", killed)
        pushed(tmp_path)
    assert len(pushed(tmp_path)) < 3  # DVC's fault: without it `collect_anew` can go
    repair.collect_anew(tmp_path)
    assert pushed(tmp_path) == {"a", "b", "c"}
