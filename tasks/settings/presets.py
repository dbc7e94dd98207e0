"""Presets: what differs from the defaults of the settings, and the whole params.yaml that follows from it.

The comments of the file are the preset's own, or what the settings say of themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from depth_model.errors import UserError
from depth_model.settings import DOC
from tasks.settings.params import Params, check, read
from tasks.settings.structure import completed, entry_of, hints, section_of

FOLDER = Path("presets")
EXTENDS = "extends"
"""The key with the name of another preset, for what a preset does not say itself."""
CHECKED = "Every key is checked before anything runs."
COLUMN = 34
_CHOICES_SHOWN = 4
_PLAIN = re.compile(r"[A-Za-z_/][\w./@-]*")
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def path_of(preset: str) -> Path:
    """Return the file of a preset: the one of that name in presets/, or `preset` itself if it is a path."""
    return Path(preset) if preset.endswith(".yaml") else FOLDER / f"{Path(preset).name}.yaml"


def content(path: Path) -> dict[str, Any]:
    """Return the parameters that a preset stands for, complete; raises UserError as `params.load` does, and for a
    preset that extends itself."""
    return completed(Params, _extended(path, read))


def _extended(path: Path, load: Callable[[Path], Any], above: tuple[Path, ...] = ()) -> Any:
    """Return what `load` gives of a preset, laid over the preset that it extends."""
    given = load(path)
    if not isinstance(given, dict):
        raise UserError(f"{path.name}: must hold keys and values")
    if path in above:
        raise UserError(f"{path.name}: {EXTENDS} leads back to it")
    if EXTENDS not in given:
        return given
    name = str(given.pop(EXTENDS))
    beside = path.with_name(f"{name}.yaml")
    below = _extended(beside if beside.exists() else path_of(name), load, (*above, path))
    if isinstance(given, CommentedMap):
        below.ca.comment = given.ca.comment  # the head of the file
    return _laid_over(below, given)


def _laid_over(below: Any, given: Mapping[str, Any]) -> Any:
    for key, value in given.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        below[key] = _laid_over(below[key], value) if both else value
        if isinstance(given, CommentedMap) and key in given.ca.items:
            below.ca.items[key] = given.ca.items[key]
    return below


def load(path: Path) -> Params:
    """Return the checked parameters that the preset in `path` stands for; raises UserError as `params.load` does."""
    return check(content(path), path.name)


def written(path: Path) -> str:
    """Return params.yaml as the preset in `path` gives it, with a comment to every setting."""
    given = _extended(path, lambda one: YAML().load(one.read_text(encoding="utf-8")))
    head = [line.value.rstrip() for line in (given.ca.comment or (None, None))[1] or ()]
    return text_of(given, [*head, f"# Written by 'depth-anything params {path.stem}'. {CHECKED}"])


def text_of(given: CommentedMap, head: Iterable[str]) -> str:
    """Return params.yaml with the comment lines `head`, the values of `given` and defaults for all others; every value
    with the comment that `given` has behind it, or with what its setting says."""
    lines = list(head)
    for key, value in completed(Params, given).items():
        lines += [""] * isinstance(value, Mapping) + list(_lines({key: value}, given, Params, ""))
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any], given: Any, section: type | None, indent: str) -> Iterator[str]:
    """Yield the lines of a mapping; `given` is it as the preset has it, `section` whose fields explain its keys."""
    for key, value in values.items():
        hint = hints(section).get(key) if section else None
        note = _comment(given, key) or (_said(section, key) if hint is not None else "")
        below = given.get(key) if isinstance(given, CommentedMap) else None
        if isinstance(value, Mapping) and value and not _is_flow(below):
            yield _with_note(f"{indent}{key}:", note)
            entry = entry_of(hint)
            if entry is None:
                yield from _lines(value, below, section_of(hint), f"{indent}  ")
                continue
            for number, (name, one) in enumerate(value.items()):
                yield from _entry(name, one, below, entry, f"{indent}  ", explained=number == 0)
        else:
            yield _with_note(f"{indent}{key}: {_text(value)}", note)


def _entry(name: str, value: Any, given: Any, section: type, indent: str, explained: bool) -> Iterator[str]:
    """Yield the lines of one of many entries of a kind; only the first one is explained."""
    below = given.get(name) if isinstance(given, CommentedMap) else None
    if not isinstance(value, Mapping) or _is_flow(below):
        yield _with_note(f"{indent}{name}: {_text(value)}", _comment(given, name))
        return
    yield _with_note(f"{indent}{name}:", _comment(given, name))
    yield from _lines(value, below, section if explained else None, f"{indent}  ")


def _with_note(text: str, note: str) -> str:
    return f"{text:<{COLUMN - 1}} # {note}" if note else text


def _is_flow(given: Any) -> bool:
    return isinstance(given, CommentedMap) and bool(given.fa.flow_style())


def _comment(given: Any, key: str) -> str:
    """Return the comment that stands behind `key` in the preset."""
    for token in (given.ca.items.get(key) or ()) if isinstance(given, CommentedMap) else ():
        for one in token if isinstance(token, list) else [token]:
            if one is not None and (text := one.value.lstrip(" ")).startswith("#"):
                return text.partition("\n")[0].lstrip("# ").rstrip()
    return ""


def _said(section: type, key: str) -> str:
    """Return what a setting says of itself, after the values that it may have."""
    doc = section.__dataclass_fields__[key].metadata.get(DOC, "")
    choices = get_args(hints(section)[key]) if get_origin(hints(section)[key]) is Literal else ()
    named = " | ".join(map(str, choices)) if len(choices) <= _CHOICES_SHOWN else ""
    return ": ".join(part for part in (named, doc) if part)


def _text(value: Any) -> str:
    """Return a value in YAML on one line, such that YAML 1.1 reads it as 1.2 does."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return mantissa + ".0" * (bool(exponent) and "." not in mantissa) + exponent + power
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value)
