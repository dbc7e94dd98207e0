"""What dvc.yaml says of one stage, as DVC itself resolves it: parameters, hashes of dependencies, outs; and what
dvc.lock says of stages that ran.

The graph is stated once, in dvc.yaml; nothing here reads its templates. Inside a running stage DVC takes half a second
for this and no lock.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from depth_model import files
from depth_model.errors import UserError

LOCK = Path("dvc.lock")
CODE = ("depth_model", "tasks")
FOREIGN = ("encoder.weights", "sky.segmenter", "pseudo_label.teachers")
"""Parameters that may name files outside of the graph, which count by their content."""
FOREIGN_OF_EACH = "class_map."
"""What the names of others begin with, one for each source."""


@dataclass(frozen=True)
class Entry:
    """One stage: its DVC `address`, parameters by key of params.yaml, hashes of what it depends on by path (`data` and
    `code`), and the paths of its `outs`."""

    address: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    outs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What stands behind the `@` of the address: the source or the set; empty where there is none."""
        return self.address.partition("@")[2]

    def fingerprint(self) -> str:
        """Return the SHA-256 over everything the result depends on but code."""
        given = {"stage": self.address, "parameters": dict(self.parameters), "data": dict(self.data)}
        return files.sha256_of_json(given | {"foreign": foreign_files(self.parameters)})


def resolve(address: str) -> Entry:
    """Return the stage `address` (as `collect_labeled@rooms`) of dvc.yaml in the current folder.

    Raises UserError for a stage that dvc.yaml does not have and for a dependency that is not there.
    """
    from dvc.dependency import ParamsDependency
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # its advice is for those who call DVC themselves
    try:
        with Repo(os.curdir) as repository:
            stage = repository.stage.load_one("dvc.yaml", address)
            missing = [dependency.def_path for dependency in stage.deps if not dependency.exists]
            if missing:
                raise UserError(f"{', '.join(missing)}: not there; 'dvc repro {address}' makes what the stage needs")
            stage.save_deps()
    except DvcException as error:
        raise UserError(f"dvc.yaml: {address}: {' '.join(str(error).split())}") from error
    found = [one for one in stage.deps if not isinstance(one, ParamsDependency)]
    parameters = [one.hash_info.value for one in stage.deps if isinstance(one, ParamsDependency)]
    hashes = {one.def_path: str(one.hash_info.value) for one in found}
    return _entry(address, parameters, hashes, [out.def_path for out in stage.outs])


def _entry(address: str, parameters: Iterable[Mapping[str, Any]], hashes: Mapping[str, str], outs: list[str]) -> Entry:
    return Entry(
        address,
        {key: value for group in parameters for key, value in group.items()},
        {path: value for path, value in hashes.items() if not is_code(path)},
        {path: value for path, value in hashes.items() if is_code(path)},
        tuple(outs),
    )


def lock_entries(without: str = "") -> dict[str, Any]:
    """Return the stages of dvc.lock by address but for one; none where there is no such file."""
    if not LOCK.exists():
        return {}
    content = yaml.load(LOCK.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    return {name: one for name, one in (content.get("stages") or {}).items() if name != without}


def locked(out: str) -> Entry | None:
    """Return the stage that made `out`, a path of dvc.yaml, as dvc.lock has it: of what ran last, also elsewhere.

    None when it has none.
    """
    for address, stage in lock_entries().items():
        outs = [one["path"] for one in stage.get("outs", ())]
        if out in outs:
            hashes = {one["path"]: str(one.get("md5")) for one in stage.get("deps", ())}
            return _entry(address, stage.get("params", {}).values(), hashes, outs)
    return None


def recorded(address: str, path: str) -> bytes | None:
    """Return what the file `path`, on which the stage `address` depends, held when that stage last ran.

    None when the stage never ran, and when DVC's cache does not have that version any more.
    """
    from dvc.repo import Repo

    with Repo(os.curdir) as repository:
        stage = repository.stage.load_one("dvc.yaml", address)
        digest = next((str(one.hash_info.value or "") for one in stage.deps if one.def_path == path), "")
        cached = Path(repository.cache.local.oid_to_path(digest)) if digest else None
    return cached.read_bytes() if cached and cached.is_file() else None


def is_code(dependency: str) -> bool:
    """Return whether a dependency of dvc.yaml is a part of this software."""
    return Path(dependency).parts[0] in CODE


def foreign_files(parameters: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the hashes of the files that `parameters` name outside of the graph: path as given -> name -> SHA-256."""
    named = [_value(parameters, key) for key in FOREIGN]
    named += [value for key, value in parameters.items() if key.startswith(FOREIGN_OF_EACH)]
    paths = [path for one in named for path in (one if isinstance(one, dict) else [one]) if path]
    root = Path(os.environ.get("DVC_ROOT") or os.curdir)
    return {path: found for path in paths if (found := files.hashes(root / path))}


def _value(parameters: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return parameters.get(section, {}).get(name)
