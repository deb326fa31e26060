"""The demo's live page: subscribes to the broker and shows terminals and transactions as they happen.

Standard library only. The collector's dashboard takes its place; here it proves that any subscriber can follow.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import OrderedDict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

_PAGE = Path(__file__).parent / "page.html"
_KEPT = 60
_HEARTBEAT_S = 10.0


class Board:
    """What the page shows: the agents' states and the last transactions. Fed by MQTT, read by browsers."""

    def __init__(self, broker_port: int) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, Any] = {}
        self._transactions: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._listeners: set[queue.Queue[str]] = set()
        self.events = 0
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="tillwatch-demo-page")
        client.on_connect = lambda c, *_: c.subscribe("tillwatch/1/#", 1)
        client.on_message = self._on_message
        client.connect("127.0.0.1", broker_port)
        client.loop_start()
        self._client = client

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def snapshot(self) -> str:
        """All of it as JSON."""
        with self._lock:
            shown = {
                "agents": self._states,
                "transactions": list(reversed(self._transactions.values())),
                "events": self.events,
            }
            return json.dumps(shown, ensure_ascii=False)

    def listen(self) -> queue.Queue[str]:
        """A queue that gets a snapshot at every change."""
        listener: queue.Queue[str] = queue.Queue(maxsize=20)
        with self._lock:
            self._listeners.add(listener)
        return listener

    def forget(self, listener: queue.Queue[str]) -> None:
        """A browser has gone."""
        with self._lock:
            self._listeners.discard(listener)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        _, _, site, agent, kind, *_ = [*message.topic.split("/"), ""]
        body = json.loads(message.payload)
        with self._lock:
            if kind == "state":
                self._states[f"{site}/{agent}"] = body
            elif kind == "events":
                self.events += 1
                self._keep(body, f"{site}/{agent}")
            listeners = list(self._listeners)
        shown = self.snapshot()
        for listener in listeners:
            if not listener.full():  # a browser that does not keep up gets the next one
                listener.put_nowait(shown)

    def _keep(self, event: dict[str, Any], agent: str) -> None:
        if event["type"].startswith("transaction."):
            row = event["data"] | {"agent": agent, "event": event["type"], "time": event["time"]}
            before = self._transactions.get(row["transaction"], {})
            if event["type"] == "transaction.warning":
                row["event"] = before.get("event", "transaction.started")  # it says nothing about the outcome
            row["warning"] = row["warning"] or before.get("warning")
            self._transactions[row["transaction"]] = row
            self._transactions.move_to_end(row["transaction"])
            if len(self._transactions) > _KEPT:
                self._transactions.popitem(last=False)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, board: Board, *rest: Any) -> None:
        self._board = board
        super().__init__(*rest)

    def do_GET(self) -> None:
        """The page, the snapshot, or the stream of snapshots."""
        if self.path.split("?")[0] == "/":
            self._send(_PAGE.read_bytes(), "text/html; charset=utf-8")
        elif self.path == "/state":
            self._send(self._board.snapshot().encode(), "application/json")
        elif self.path == "/stream":
            self._stream()
        else:
            self.send_error(404)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'self' 'unsafe-inline'")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        listener = self._board.listen()
        try:
            shown: str | None = self._board.snapshot()
            while True:
                self.wfile.write(f"data: {shown}\n\n".encode() if shown else b": still here\n\n")
                try:
                    shown = listener.get(timeout=_HEARTBEAT_S)
                except queue.Empty:
                    shown = None
        except OSError:
            return  # the browser has gone
        finally:
            self._board.forget(listener)

    def log_message(self, *_: object) -> None:
        """Requests of the page are of no interest to anybody."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def serve(board: Board, port: int) -> ThreadingHTTPServer:
    """Serve the page on 127.0.0.1 in a thread of its own. Raises OSError when the port is taken."""
    server = _Server(("127.0.0.1", port), partial(_Handler, board))
    threading.Thread(target=server.serve_forever, name="page", daemon=True).start()
    return server
