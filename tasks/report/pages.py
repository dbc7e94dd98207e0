"""Every HTML page of ours: values into the Jinja2 templates beside this file, each value escaped.

A page carries its style and its pictures; its content security policy lets a browser fetch nothing, and run nothing but
the one script beside the templates where a page has it. What a page says is the business of the templates and of who
calls `render`.
"""

from __future__ import annotations

import base64
import hashlib
import io
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
    for name, file in (("style", "style.css"), ("script", "compare.js")):
        text = (_TEMPLATES / file).read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
        found.globals |= {name: Markup(text), f"{name}_digest": digest}
    found.filters["data_uri"] = data_uri
    return found


def data_uri(picture: bytes) -> str:
    """Return `picture`, the bytes of a WebP, JPEG or PNG, as an address that carries them."""
    kind = next((kind for start, kind in _KINDS.items() if picture.startswith(start)), "png")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


_KINDS = {b"RIFF": "webp", b"\xff\xd8": "jpeg"}


def small(picture: bytes, longest: int = 1600) -> bytes:
    """Return `picture` as WebP of at most `longest` pixels a side, for a page that stays small; lossless where that
    takes less, as it does of drawings."""
    from depth_model.shards.decoding import loaded, opened

    image = loaded(opened(picture)).convert("RGB")
    image.thumbnail((longest, longest))
    return min((_webp(image, lossless=True), _webp(image, quality=75)), key=len)


def _webp(image: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", method=4, **options)
    return buffer.getvalue()
