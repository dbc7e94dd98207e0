"""Every HTML page of ours: values into the Jinja2 templates beside this file, each value escaped.

A page carries its style and its pictures; its content security policy lets a browser fetch nothing and run nothing.
What a page says is the business of the templates and of who calls `render`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> Markup:
    """Return the HTML of `templates/<template>.html.j2` with `values`, as one that other templates take unescaped."""
    text = _environment().get_template(f"{template}.html.j2").render(values)
    # A file name that is not UTF-8 holds surrogates, which no file could be written with.
    return Markup(text.encode("utf-8", "backslashreplace").decode("utf-8"))


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    found.globals |= {"style": Markup(style), "style_digest": digest}
    found.filters["data_uri"] = data_uri
    return found


def data_uri(picture: bytes, kind: str = "png") -> str:
    """Return `picture`, the bytes of an image of `kind` png or jpeg, as an address that carries them."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
