"""The door that agents come to: HTTPS with a certificate of our own authority, and nothing of the dashboard behind it.

    GET  /agents/1/authority        {authority, now}: open, tells nothing secret
    POST /agents/1/certificates     {token, agent, site, request} → {certificate, broker, fleet_key}
    POST /agents/1/renewals         {request} → the same
    GET  /agents/1/configuration    ?have=VERSION → {version, document, signature}, or 204; with the agent's certificate
    GET  /agents/1/revoked.pem      the revocation list, for brokers on other machines: open

A server of the standard library, because it shows whose certificate a client has. A refusal is
{"refused": key, "values": {…}, "detail": English}: the agent says it in its user's language.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agent import __version__
from agent.log import logger
from agent.texts import Texts
from collector.enrol.certificate import DoorCertificate
from collector.enrol.desk import EnrolDesk, Given, Wanted
from collector.enrol.errors import RefusedError
from collector.enrol.fleet import FleetDesk
from collector.errors import ServiceError

_LARGEST = 16 << 10
_PATIENCE_S = 15.0  # for the next byte
_WHOLE_S = 30.0  # for all of them
_AT_ONCE = 64

_log = logger(part="enrol")


class Door:
    """The server, in threads of its own. Listens from the moment it is made. Raises ServiceError."""

    def __init__(
        self, listen: tuple[str, int], desk: EnrolDesk, fleet: FleetDesk, certificate: DoorCertificate
    ) -> None:
        try:
            self._server = _Server(listen, desk, fleet, certificate)
        except OSError as error:
            place = f"{listen[0]}:{listen[1]}"
            raise ServiceError("enrol.no_listen", place=place, reason=error.strerror or error) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="enrol-door", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End; whoever is being answered gets the answer."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(_PATIENCE_S)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self, listen: tuple[str, int], desk: EnrolDesk, fleet: FleetDesk, certificate: DoorCertificate
    ) -> None:
        self.desk, self.fleet, self._certificate = desk, fleet, certificate
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._lines: dict[ssl.SSLSocket, float] = {}  # since when each is being answered (monotonic)
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        super().__init__(listen, _Handler)

    def server_bind(self) -> None:
        """As socketserver does; HTTPServer would ask the name service who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def service_actions(self) -> None:
        """Twice a second: whoever takes too long is cut off, so that a few slow clients do not hold all places."""
        now = time.monotonic()
        with self._lock:
            late = [line for line, begun in self._lines.items() if now - begun > _WHOLE_S]
        for line in late:
            with contextlib.suppress(OSError):  # it has just ended
                # The plain socket's: that of TLS would take the session away from the thread that uses it.
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, while there is room; otherwise the client comes again."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The handshake too is the thread's affair: nobody waits for a client that is slow at it."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then answer."""
        request.settimeout(_PATIENCE_S)
        context = self._certificate.context()
        with context.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as line:
            with self._lock:
                self._lines[line] = time.monotonic()
            try:
                line.do_handshake()
                super().finish_request(line, client_address)
            finally:
                with self._lock:
                    del self._lines[line]

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Scanners, clients that distrust us, lines that break."""
        _log.debug("enrol.connection_failed", address=client_address[0], exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.0"
    server_version = f"tillwatch/{__version__}"
    sys_version = ""
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        """What may be read."""
        parts = urlsplit(self.path)
        desk = self.server.desk
        if parts.path == "/agents/1/authority":
            self._guarded(lambda: {"authority": desk.authority.pem, "now": desk.now_s()})
        elif parts.path == "/agents/1/revoked.pem":
            self._guarded(desk.revocations)
        elif parts.path == "/agents/1/configuration":
            self._guarded(lambda: self._configuration(parse_qs(parts.query)))
        else:
            self._refuse(RefusedError("enroll.no_such_page", 404))

    def do_POST(self) -> None:
        """What gives a certificate."""
        address = self.client_address[0]
        desk = self.server.desk
        if self.path == "/agents/1/certificates":
            self._guarded(lambda: _told(desk.enrol(self._first(), address)))
        elif self.path == "/agents/1/renewals":
            self._guarded(lambda: _told(desk.renew(self._fields("request")[0], address)))
        else:
            self._refuse(RefusedError("enroll.no_such_page", 404))

    def log_message(self, format: str, *args: Any) -> None:
        """Into our own log, quietly: each renewal and refusal is in the audit log anyway."""
        _log.debug("enrol.request", address=self.client_address[0], line=format % args)

    def _configuration(self, query: dict[str, list[str]]) -> dict[str, Any] | None:
        connection = self.connection
        shown = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        serial = str(shown.get("serialNumber", "")).lower().lstrip("0") if shown else ""
        if not serial or self.server.desk.holder(serial) is None:
            raise RefusedError("enroll.certificate_needed", 401)
        have = query.get("have", ["0"])[0]
        found = self.server.fleet.newer_than(int(have) if have.isdecimal() and len(have) < 10 else 0)
        if found is None:
            return None
        return {"version": found.version, "document": found.document, "signature": found.signature}

    def _first(self) -> Wanted:
        return Wanted(*self._fields("token", "agent", "site", "request"))

    def _fields(self, *names: str) -> list[str]:
        """The texts of the body. Raises RefusedError when it is not what was asked for."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            raise RefusedError("enroll.request_bad", 400)
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            body = None
        values = [body.get(name) for name in names] if isinstance(body, dict) else []
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) != len(names):
            raise RefusedError("enroll.request_bad", 400)
        return texts

    def _guarded(self, answer: Callable[[], dict[str, Any] | str | None]) -> None:
        """Send what it gives: an object, a text in PEM, or nothing new."""
        try:
            body = answer()
        except RefusedError as error:
            self._refuse(error)
        except OSError:
            raise  # the line broke: nobody is there to be told
        except Exception:  # noqa: BLE001 (an agent must get an answer, and the log the reason)
            _log.exception("enrol.failed", path=urlsplit(self.path).path)
            self._refuse(RefusedError("enroll.collector_failed", 500))
        else:
            if body is None:
                self._send(204, b"")
            elif isinstance(body, str):
                self._send(200, body.encode(), "application/x-pem-file")
            else:
                self._send(200, json.dumps(body).encode())

    def _refuse(self, error: RefusedError) -> None:
        body = {"refused": error.key.partition(".")[2], "values": error.values, "detail": error.text(Texts("en"))}
        self._send(error.status, json.dumps(body).encode())

    def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)


def _told(given: Given) -> dict[str, str]:
    return {"certificate": given.certificate, "broker": given.broker, "fleet_key": given.fleet_key}
