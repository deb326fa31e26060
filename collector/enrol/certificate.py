"""The certificate of the collector's own door: signed by its authority, made anew in time or when names change."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from collector.enrol.authority import Authority, write_file
from collector.enrol.errors import AuthorityError
from collector.ledger import Clock

_ANEW_BEFORE = timedelta(days=90)
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME; Python has no name for it


class DoorCertificate:
    """Gives the TLS settings of the door; `refresh` may be called while it serves."""

    def __init__(self, authority: Authority, names: Sequence[str], clock: Clock) -> None:
        """Raises AuthorityError, EnrolUsageError."""
        self._authority, self._names, self._clock = authority, tuple(names), clock
        self._lock = threading.Lock()
        self._file = authority.folder / "door.pem"
        self._context = self._made() if not self._good(clock()) else self._loaded()

    def context(self) -> ssl.SSLContext:
        """For a connection that begins now."""
        with self._lock:
            return self._context

    def refresh(self) -> bool:
        """Make a new certificate when the present one is about to end; whether it was."""
        if self._good(self._clock()):
            return False
        made = self._made()
        with self._lock:
            self._context = made
        return True

    def _made(self) -> ssl.SSLContext:
        signed, key = self._authority.server(self._names, self._clock())
        write_file(self._file, key + signed.pem + self._authority.pem)
        return self._loaded()

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(str(self._file))
        except (OSError, ssl.SSLError) as error:
            raise AuthorityError("enrol.unreadable", path=self._file, reason=error.strerror or error) from error
        context.load_verify_locations(cadata=self._authority.pem)
        context.verify_mode = ssl.CERT_OPTIONAL  # enrolment comes without one; who shows one must have it from us
        # Whether it has ended the desk knows, and says so in words, where TLS would only hang up.
        context.verify_flags |= _NO_CHECK_TIME
        return context

    def _good(self, now: datetime) -> bool:
        """Whether the file holds a certificate for these names, of this authority, that lasts."""
        found = _read(self._file)
        if found is None:
            return False
        try:
            found.verify_directly_issued_by(x509.load_pem_x509_certificate(self._authority.pem.encode()))
            extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except Exception:  # noqa: BLE001 (whatever is wrong with it, it is made anew)
            return False
        names = {str(name.value) for name in extension}
        wanted = {_plain(name) for name in self._names}
        return names == wanted and found.not_valid_before_utc <= now < found.not_valid_after_utc - _ANEW_BEFORE


def _plain(name: str) -> str:
    """An address as certificates hold it, however it was written."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _read(path: Path) -> x509.Certificate | None:
    try:
        blocks = path.read_bytes()
        serialization.load_pem_private_key(blocks, None)
        return x509.load_pem_x509_certificate(blocks)
    except (OSError, ValueError, TypeError):
        return None
