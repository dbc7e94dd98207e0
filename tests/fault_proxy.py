"""An HTTP proxy in front of an S3 server that misbehaves as told: what a bucket does on a bad day."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"
EXPIRED = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>"
GONE = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>Not there.</Message></Error>"
FULL = b"<?xml version='1.0'?><Error><Code>XMinioStorageFull</Code><Message>No room is left.</Message></Error>"
REFUSALS = {"throttle": (503, SLOW_DOWN), "expire": (400, EXPIRED), "vanish": (404, GONE), "full": (507, FULL)}


class FaultProxy(ThreadingHTTPServer):
    """Forwards to the server at `port`; `fault(method, path, number)` names what goes wrong with a request, or None.

    Faults: throttle, expire, vanish, full (an error instead of an answer), truncate (half the body, then closed),
    drop (closed before the answer), corrupt (one byte of the body differs). `number` counts the requests for the
    same method and path from 0. `asked` counts all of them, `faults` what was injected.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.fault: Callable[[str, str, int], str | None] = lambda method, path, number: None
        self.asked: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FaultProxy
    protocol_version = "HTTP/1.1"  # else boto3 waits a second before each upload for leave to go on

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            number = self.server.asked[self.command, self.path]
            self.server.asked[self.command, self.path] += 1
            fault = self.server.fault(self.command, self.path, number)
            self.server.faults[fault] += fault is not None
        self.close_connection = True
        if fault == "drop":
            return
        if fault in REFUSALS:
            status, data = REFUSALS[fault]
            self._send(status, [], data, fault)
        else:
            with suppress(ConnectionError):  # the server is away: the connection is closed without an answer
                self._send(*self._forwarded(body), fault)

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes, fault: str | None) -> None:
        self.send_response_only(status)
        kept = [(name, value) for name, value in headers if name.lower() not in ("connection", "transfer-encoding")]
        if self.command != "HEAD":
            kept = [(name, value) for name, value in kept if name.lower() != "content-length"]
            kept.append(("Content-Length", str(len(data))))
        for name, value in [*kept, ("Connection", "close")]:
            self.send_header(name, value)
        self.end_headers()
        if fault == "truncate":
            data = data[: len(data) // 2]
        elif fault == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer

    def log_message(self, *arguments: object) -> None:
        pass
