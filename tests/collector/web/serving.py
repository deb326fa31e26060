"""A real server for tests: uvicorn in a thread, on a port that the system chose, stopped at the end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from collector.web.app import stop_streams
from tests import waits


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The base URL of the application while the block runs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=2, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        waits.until(lambda: server.started or not thread.is_alive(), what="the server answers")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop_streams(app)
        server.should_exit = True
        thread.join(20)
        listener.close()
