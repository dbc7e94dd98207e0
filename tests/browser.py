"""Headless Chromium by its DevTools protocol: what tests of pages drive. Nothing is installed for it."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from websockets.sync.client import connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser of this machine, None without one."""
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FLAGS += ["--remote-debugging-port=0", "--disable-background-networking", "--no-first-run", "--hide-scrollbars"]
ARROWS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13}


class Browser:
    """One page: `Browser(address)`, a context manager. `requests` are the addresses that it asked for, `faults` its
    exceptions and what its policy refused."""

    def __init__(self, address, width=1280, height=900, dark=False, mobile=False):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._numbers, self.requests, self.faults = itertools.count(), [], []
        port = self._until(self._port)
        self._socket = connect(f"ws://127.0.0.1:{port[0]}{port[1]}", max_size=None)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.resize(width, height, mobile)
        self.ask("Page.navigate", url=address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def resize(self, width, height, mobile=False):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def ask(self, method, **given):
        """The answer to a command of the protocol."""
        return self._ask(method, self._session, **given)

    def js(self, expression):
        """The value of `expression` in the page, awaited."""
        found = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression, seconds=120):
        """Wait until `expression` is true in the page."""
        return self._until(lambda: self.js(expression), seconds)

    def upload(self, selector, *paths):
        """Choose `paths` in the file input at `selector`."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", files=[str(Path(path).absolute()) for path in paths], nodeId=node)

    def fill(self, selector, text):
        """Type `text` over what the field at `selector` holds."""
        self.js(f"(() => {{ const at = document.querySelector({json.dumps(selector)}); at.value = {json.dumps(text)};"
                "at.dispatchEvent(new Event('input', {bubbles: true}));"
                "at.dispatchEvent(new Event('change', {bubbles: true})); })()")  # fmt: skip

    def place(self, selector, across=0.5, down=0.5):
        """Where a share of the element at `selector` is in the window, which is scrolled to it."""
        return self.js(f"(() => {{ const at = document.querySelector({json.dumps(selector)});"
                       "at.scrollIntoView({block: 'center', behavior: 'instant'});"
                       "const box = at.getBoundingClientRect();"
                       f"return [box.left + {across} * box.width, box.top + {down} * box.height]; }})()")  # fmt: skip

    def mouse(self, kind, x, y, **more):
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector, across=0.5, down=0.5):
        x, y = self.place(selector, across, down)
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, selector, by):
        x, y = self.place(selector)
        self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
        for share in (0.5, 1):
            self.mouse("mouseMoved", x + share * by[0], y + share * by[1], button="left", buttons=1)
        self.mouse("mouseReleased", x + by[0], y + by[1], button="left", clickCount=1)

    def key(self, name):
        code = {"key": name, "code": name, "windowsVirtualKeyCode": ARROWS.get(name, 0)}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, **code)

    def screenshot(self, path=None, whole=True):
        """The page as PNG, also written to `path`."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        content = base64.b64decode(found["data"])
        if path:
            Path(path).write_bytes(content)
        return content

    def _port(self):
        place = Path(self._folder.name, "DevToolsActivePort")
        lines = place.read_text().split() if place.exists() else []
        return lines if len(lines) == 2 else None

    def _until(self, found, seconds=120):
        deadline = time.monotonic() + seconds
        while not (value := found()):
            assert time.monotonic() < deadline and self._process.poll() is None, (value, self.faults)
            time.sleep(0.1)
        return value

    def _ask(self, method, session=None, **given):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": given} | ({"sessionId": session} if session else {})
        self._socket.send(json.dumps(message))
        while True:
            told = json.loads(self._socket.recv(timeout=120))
            if told.get("id") == number:
                assert "error" not in told, (method, told["error"])
                return told["result"]
            self._event(told.get("method"), told.get("params", {}))

    def _event(self, name, told):
        if name == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            self.faults.append(told["exceptionDetails"].get("exception", {}).get("description", told))
        elif name == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.faults.append(told["entry"]["text"] + " " + told["entry"].get("url", ""))
