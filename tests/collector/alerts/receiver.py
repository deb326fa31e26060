"""A webhook's receiver for tests: a real HTTP server whose behaviour a test changes as it goes."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Receiver:
    """Answers with `status`; 0: does not answer until the test is over. `bodies`: what it took, in order."""

    def __init__(self) -> None:
        self.status = 204
        self.requests: list[tuple[dict[str, str], str, int]] = []  # headers, body, how it was answered
        self._over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status = receiver.status
                receiver.requests.append((dict(self.headers), body, status))
                if status == 0:
                    receiver._over.wait(60)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def taken(self) -> list[dict[str, Any]]:
        """The messages it took."""
        return [json.loads(body) for _, body, status in list(self.requests) if 200 <= status < 300]

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
