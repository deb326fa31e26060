"""The collector's door for agents, from our side: HTTPS, JSON, one question a connection.

GET  /agents/1/authority        its CA certificate and its clock; the only thing asked of somebody we don't know yet
POST /agents/1/certificates     {token, agent, site, request}
POST /agents/1/renewals         {request}
GET  /agents/1/configuration    the fleet's configuration; with our certificate
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent import __version__
from agent.enroll.errors import DoorError, EnrolError
from agent.errors import TillwatchError, UsageError
from agent.texts import Texts

_PATIENCE_S = 20.0
_LARGEST = 1 << 20
#: OpenSSL's X509_V_ERR_* that people can do something about
_EARLY, _EXPIRED, _HOST, _ADDRESS = 9, 10, 62, 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What the collector said: status, and the JSON object (empty where there is none)."""

    status: int
    body: dict[str, Any]


class Door:
    """One collector. `authority`: who must have signed its certificate; None trusts nobody and hides nothing."""

    def __init__(
        self, url: str, authority: Path | str | None = None, identity: tuple[Path, Path] | None = None
    ) -> None:
        """`identity`: our certificate and key. Raises UsageError for an address that is none."""
        self.url = url
        try:
            parts = urlsplit(url)
            good = parts.scheme == "https" and bool(parts.hostname) and parts.path in ("", "/")
            good = good and not parts.query and parts.username is None and parts.port != 0
            self._place = (parts.hostname or "", parts.port or 443)
        except ValueError:
            good = False
        if not good:
            raise UsageError("enroll.bad_url", url=url.rpartition("@")[2])  # what stands before it may be a password
        self._authority = authority
        self._identity = identity

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Answer:
        """One question. Raises DoorError when nobody answers as a collector does, EnrolError for what it refuses."""
        host, port = self._place
        values = {"url": self.url, "host": host, "port": port}
        connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE_S, context=self._context())
        data = None if body is None else json.dumps(body).encode()
        headers = {"User-Agent": f"tillwatch/{__version__}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            status, content = response.status, response.read(_LARGEST + 1)
        except ssl.SSLCertVerificationError as error:
            raise self._distrusted(error) from error
        except ssl.SSLError as error:
            raise DoorError("enroll.no_tls", reason=error.reason or error, **values) from error
        except (socket.gaierror, UnicodeError) as error:
            raise DoorError("enroll.no_name", **values) from error
        except TimeoutError as error:
            raise DoorError("enroll.silent", **values) from error
        except (OSError, http.client.HTTPException) as error:
            raise DoorError("enroll.unreachable", reason=getattr(error, "strerror", None) or error, **values) from error
        finally:
            connection.close()
        return self._understood(status, content)

    def _context(self) -> ssl.SSLContext:
        try:
            return self._made()
        except OSError as error:
            path = self._identity[0].parent if self._identity else self._authority
            reason = getattr(error, "reason", None) or error.strerror or error
            raise EnrolError("enroll.damaged", path=path, reason=reason) from error

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._authority is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif isinstance(self._authority, Path):
            context.load_verify_locations(cafile=str(self._authority))
        else:
            context.load_verify_locations(cadata=self._authority)
        if self._identity:
            context.load_cert_chain(*map(str, self._identity))
        return context

    def _distrusted(self, error: ssl.SSLCertVerificationError) -> TillwatchError:
        host = self._place[0]
        if error.verify_code in (_HOST, _ADDRESS):
            return EnrolError("enroll.wrong_name", host=host)
        if error.verify_code in (_EARLY, _EXPIRED):
            return EnrolError("enroll.collector_dates", host=host, reason=error.verify_message)
        return EnrolError("enroll.distrusted", host=host, reason=error.verify_message)

    def _understood(self, status: int, content: bytes) -> Answer:
        if status == 204:
            return Answer(status, {})
        try:
            body = json.loads(content) if len(content) <= _LARGEST else None
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise DoorError("enroll.no_collector", url=self.url)
        if status >= 400:
            raise _refusal(status, body, self.url)
        return Answer(status, body)


def _refusal(status: int, body: dict[str, Any], url: str) -> TillwatchError:
    """The collector names a text that both sides know; one that only a newer collector knows is said as it came."""
    key, values = f"enroll.{body.get('refused')}", body.get("values")
    kind = DoorError if status >= 500 else EnrolError
    if Texts("en").has(key) and isinstance(values, dict):
        return kind(key, **values)
    if isinstance(body.get("detail"), str):
        return kind("enroll.refused", detail=body["detail"][:300])
    return DoorError("enroll.no_collector", url=url)
