"""One tar with a broken link in it, one unpacked folder; masks are left alone."""

from __future__ import annotations

from . import Layout, save_bytes, save_picture
from .packing import link, picture, tar


def write(root):
    content = {"./sa_1.jpg": picture(1), "./sa_1.json": b"{}", "./sa_2.jpg": picture(2)}
    tar(root / "sa_000000.tar", content | {"./sa_9.jpg": link("./sa_9.jpg", "/etc/passwd")})
    save_picture(root / "sa_000001" / "sa_3.jpg")
    save_bytes(root / "sa_000001" / "sa_3.json", b"{}")
    return Layout({"sa_1": None, "sa_2": None, "sa_3": None}, refused={"sa_9": "a link"})
