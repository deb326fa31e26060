"""The bridge's Unix socket: taps on the ring, leases, status. A slow or dead client costs the lines nothing."""

from __future__ import annotations

import json
import os
import socket
import struct

from agent.bridge import wire
from agent.bridge.lease import Lease, Terms
from agent.bridge.loop import IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.bridge.handover import Berth
    from agent.bridge.line import Line
    from agent.bridge.log import Log
    from agent.bridge.loop import Loop
    from agent.bridge.ring import Ring

BATCH = 65536
QUIET_RETRY_S = 0.02
#: of one user; more than that is a mistake, which must not cost the lines their descriptors
MOST_CLIENTS = 64
#: bytes that a client may leave unread and still ask for more
MOST_UNREAD = 1 << 20


class Server:
    """Accepts clients of the same user, or root."""

    __slots__ = (
        "_clients",
        "_leases",
        "_listener",
        "_log",
        "_path",
        "about",
        "grants",
        "lines",
        "loop",
        "ring",
        "stop",
    )

    def __init__(
        self,
        loop: Loop,
        ring: Ring,
        lines: dict[str, Line],
        log: Log,
        path: str,
        about: dict[str, Any],
        stop: Callable[[], None],
        berth: Berth,
    ) -> None:
        """`about` is what the hello says beside the ring's offsets; `berth` the listening socket's."""
        self.loop, self.ring, self.lines, self.about, self.stop = loop, ring, lines, about, stop
        self._log = log
        self._path = path
        self._clients: set[Client] = set()
        self._leases = 0
        self.grants = True  # leases; not while a successor is about to have the lines
        kept = berth.take()
        self._listener = _listen(path) if kept is None else socket.socket(fileno=kept)
        berth.put(self._listener.fileno(), lasting=False)
        loop.add(self._listener.fileno(), IN, self._accept)
        loop.behind, loop.catch_up = self.behind, self.flush

    def behind(self) -> bool:
        """Whether a tap that takes more has not got all."""
        last = self.ring.next
        for client in self._clients:
            if client.cursor is not None and client.cursor < last and not client.blocked:
                return True
        return False

    def flush(self) -> None:
        """Send every tap what is new."""
        for client in self._clients:
            if not client.blocked:
                client.push()

    def next_lease(self) -> int:
        """A number that no lease had before."""
        self._leases += 1
        return self._leases

    def end_leases(self, reason: str) -> bool:
        """Grant none any more, and end those that there are; whether none is left, which takes its time."""
        self.grants = False
        for line in self.lines.values():
            if line.lease is not None:
                line.lease.end(reason)
        return all(line.lease is None for line in self.lines.values())

    def hello(self) -> dict[str, Any]:
        """The first message to a client."""
        return {"hello": "tillwatch-bridge", "oldest": self.ring.oldest, "next": self.ring.next, **self.about}

    def status(self) -> dict[str, Any]:
        """Bridge and lines."""
        ring = {"oldest": self.ring.oldest, "next": self.ring.next, "ring_bytes": self.ring.size}
        return {**self.about, **ring, "lines": {name: line.status() for name, line in self.lines.items()}}

    def forget(self, client: Client) -> None:
        """A client has gone."""
        self._clients.discard(client)

    def close(self) -> None:
        """End all clients; the socket's file goes."""
        for client in list(self._clients):
            client.drop()
        self.loop.remove(self._listener.fileno())
        self._listener.close()
        if os.path.exists(self._path):
            os.unlink(self._path)

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it gave up while it waited
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.geteuid()) or len(self._clients) >= MOST_CLIENTS:
            self._log.say("warning", "tap.refused", pid=pid, uid=uid, clients=len(self._clients))
            connection.close()
            return
        connection.setblocking(False)
        self._clients.add(Client(self, connection))


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if os.path.exists(path):
        os.unlink(path)  # the lock on run_dir has proven that its owner is gone
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(8)
    return listener


class Client:
    """One connection: perhaps a tap, perhaps the owner of leases."""

    __slots__ = ("_connection", "_interest", "_leases", "_messages", "_out", "_server", "cursor")

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._messages = wire.Messages()
        self._out = bytearray()
        self._leases: dict[int, Lease] = {}
        self._interest = IN
        self.cursor: int | None = None
        server.loop.add(connection.fileno(), IN, self._handle)
        self.tell(server.hello())

    @property
    def blocked(self) -> bool:
        """Whether it has not yet taken what was sent before."""
        return bool(self._out)

    def tell(self, body: dict[str, Any]) -> None:
        """Send a JSON message."""
        self._send(wire.json_message(body))

    def push(self) -> None:
        """Send records from the cursor on, as long as they are taken."""
        ring = self._server.ring
        while self.cursor is not None and self.cursor < ring.next and not self._out:
            if self.cursor < ring.oldest:
                self.tell({"gap": {"from": self.cursor, "to": ring.oldest}})
                self.cursor = ring.oldest
            batch = ring.read(self.cursor, BATCH)
            self.cursor += len(batch)
            self._send(wire.records_head(len(batch)) + batch)

    def drop(self) -> None:
        """End the connection, and what it had leased."""
        if self._connection.fileno() < 0:
            return
        self._server.loop.remove(self._connection.fileno())
        self._connection.close()
        self.cursor = None
        self._server.forget(self)
        for lease in list(self._leases.values()):
            lease.end("disconnected")

    def _send(self, data: bytes) -> None:
        if self._connection.fileno() < 0:
            return
        self._out += data
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._connection.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._out.clear()
            self._server.loop.later(0, self.drop)  # not inside the round that walks over the clients
            return
        del self._out[:sent]
        interest = IN | OUT if self._out else IN
        if interest != self._interest:
            self._interest = interest
            self._server.loop.change(self._connection.fileno(), interest)

    def _handle(self, events: int) -> None:
        if events & OUT:
            self._flush()
            self.push()
        if events & ~OUT:
            try:
                data = self._connection.recv(65536)
                asked = [payload for kind, payload in self._messages.feed(data) if kind == wire.JSON_TYPE]
            except BlockingIOError:
                return
            except (OSError, wire.Malformed):
                data, asked = b"", []
            for payload in asked:
                self._do(payload)
            if not data or len(self._out) > MOST_UNREAD:
                self.drop()

    def _do(self, payload: bytes) -> None:
        """Whatever a client sends: the lines must not notice."""
        try:
            request = json.loads(payload)
            handler = _OPERATIONS.get(str(request["op"]))
            if handler is None:
                self.tell({"error": f"unknown op; known: {', '.join(sorted(_OPERATIONS))}"})
            else:
                handler(self, request)
        except Exception as error:  # noqa: BLE001 (a client's mistake, of any kind, is answered)
            self.tell({"error": f"bad request: {error!r}"[:500]})

    def _tap(self, request: dict[str, Any]) -> None:
        ring, start = self._server.ring, request.get("from")
        if start is not None and not isinstance(start, int):
            raise TypeError("from: an offset or null")
        self.cursor = ring.next if start is None else ring.start_at(start)
        if start is not None and self.cursor > start:
            self.tell({"gap": {"from": start, "to": self.cursor}})
        self.push()

    def _status(self, _request: dict[str, Any]) -> None:
        self.tell({"status": self._server.status()})

    def _lease(self, request: dict[str, Any]) -> None:
        terms = Terms(request)
        self._try_lease(terms, terms.wait_s)

    def _try_lease(self, terms: Terms, patience_s: float) -> None:
        if self._connection.fileno() < 0:
            return
        line = self._server.lines.get(terms.line)
        if line is None:
            self._deny(terms, "unknown_line")
        elif line.device.stream is None:
            self._deny(terms, "link_down")
        elif line.lease is not None or not self._server.grants:
            self._deny(terms, "busy")
        elif line.is_quiet(terms.quiet_s):
            self._grant(line, terms)
        elif patience_s <= 0:
            self._deny(terms, "not_quiet")
        else:
            pause = min(QUIET_RETRY_S, patience_s)
            self._server.loop.later(pause, lambda: self._try_lease(terms, patience_s - pause))

    def _grant(self, line: Line, terms: Terms) -> None:
        lease = Lease(self._server.loop, line, self._server.next_lease(), terms, self._lease_news)
        self._leases[lease.id] = lease
        self.tell({"lease": "granted", "id": lease.id, "line": terms.line})

    def _lease_news(self, body: dict[str, Any]) -> None:
        if body["lease"] == "ended":
            self._leases.pop(body["id"], None)
        self.tell(body)

    def _deny(self, terms: Terms, reason: str) -> None:
        self.tell({"lease": "denied", "id": None, "line": terms.line, "reason": reason})

    def _write(self, request: dict[str, Any]) -> None:
        lease = self._leases.get(request["id"])
        if lease is None or not lease.active:
            self.tell({"error": "write: no such lease"})
            return
        lease.write(bytes.fromhex(request["hex"]))

    def _release(self, request: dict[str, Any]) -> None:
        lease = self._leases.get(request["id"])
        if lease is not None:
            lease.release()

    def _stop(self, _request: dict[str, Any]) -> None:
        if self._server.about["child"]:
            self.tell({"stopping": True})
            self._server.stop()
        else:
            self.tell({"error": "stop: this bridge is a service; stop it as one"})


_OPERATIONS: dict[str, Callable[[Client, dict[str, Any]], None]] = {
    "tap": Client._tap,
    "status": Client._status,
    "lease": Client._lease,
    "write": Client._write,
    "release": Client._release,
    "stop": Client._stop,
}
