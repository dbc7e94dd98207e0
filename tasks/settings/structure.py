"""The shape of params.yaml, read off the dataclasses: which keys a place has, and their defaults.

A field that `depth_model.settings.setting` made must stand in params.yaml; a preset may leave it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from depth_model.settings import DOC

Hints = Mapping[str, Any]


@cache
def hints(section: type) -> Hints:
    """Return the types of the fields of a dataclass by name, ranges included."""
    return MappingProxyType(get_type_hints(section, include_extras=True))


def section_of(hint: Any) -> type | None:
    """Return the dataclass that a value of type `hint` holds, as itself or optional; None if it holds none."""
    if is_dataclass(hint):
        return hint
    parts = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    return None if get_origin(hint) is dict else next(filter(is_dataclass, parts), None)


def entry_of(hint: Any) -> type | None:
    """Return the dataclass of each entry, when a value of type `hint` maps names to entries; else None."""
    return section_of(get_args(hint)[1]) if get_origin(hint) is dict else None


def keys_at(section: type | None, location: tuple[Any, ...]) -> list[str]:
    """Return the keys that may stand at `location`, a path of keys from `section` on."""
    at: Any = section
    for part in location:
        at = hints(section_of(at))[part] if section_of(at) else entry_of(at)
    return [one.name for one in fields(section_of(at))] if section_of(at) else []


def completed(section: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `content` of a section in the order of its fields, with defaults for what it lacks; what the section does
    not know stands last."""
    whole = {}
    for one in fields(section):
        if one.name in content:
            whole[one.name] = _completed(hints(section)[one.name], content[one.name])
        elif DOC in one.metadata and (default := _default(one)) is not MISSING:
            whole[one.name] = default
    return whole | {key: value for key, value in content.items() if key not in whole}


def _completed(hint: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if section := section_of(hint):
        return completed(section, value)
    if entry := entry_of(hint):
        return {name: _completed(entry, one) for name, one in value.items()}
    return value


def _default(one: Field) -> Any:
    value = one.default if one.default_factory is MISSING else one.default_factory()
    return json.loads(json.dumps(asdict(value) if is_dataclass(value) else value))  # plain, as YAML gives it


def missing(content: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of what `whole` has and `content` lacks; an empty section may be left out."""
    for key, value in whole.items():
        if key not in content:
            if not isinstance(value, Mapping) or any(missing({}, value)):
                yield key
        elif isinstance(value, Mapping) and isinstance(content[key], Mapping):
            yield from (f"{key}.{below}" for below in missing(content[key], value))
