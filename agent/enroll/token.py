"""The one-time token that IT gets from the collector and gives to `tillwatch enroll`.

    twe1.AGENT.SITE.FINGERPRINT.SECRET

AGENT and SITE are what the certificate will say. FINGERPRINT is the SHA-256 of the collector's own authority (its CA
certificate, DER), base64url: by it the PC knows the collector before it tells it the secret. SECRET is 256 random bits,
base64url; the collector keeps only its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from dataclasses import dataclass

from agent.enroll.errors import EnrolError

_WORD = "[A-Za-z0-9_-]{1,64}"
_FORM = re.compile(rf"twe1\.({_WORD})\.({_WORD})\.([A-Za-z0-9_-]{{43}})\.([A-Za-z0-9_-]{{43}})")
_PEM = re.compile(rf"{ssl.PEM_HEADER}([A-Za-z0-9+/=\s]+){ssl.PEM_FOOTER}")


@dataclass(frozen=True, slots=True)
class EnrolToken:
    """A token, taken apart."""

    agent: str
    site: str
    fingerprint: str
    secret: str

    def __str__(self) -> str:
        return f"twe1.{self.agent}.{self.site}.{self.fingerprint}.{self.secret}"

    def __repr__(self) -> str:
        return f"EnrolToken({self.agent!r}, {self.site!r})"  # the secret belongs into no log


def parse(text: str) -> EnrolToken:
    """Raises EnrolError when it is no token, or not a whole one."""
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise EnrolError("enroll.token_form")
    return EnrolToken(*found.groups())


def fingerprint(authority_pem: str) -> str:
    """The fingerprint of a CA certificate. Raises ValueError when the text is no certificate, or more than one."""
    return base64.urlsafe_b64encode(hashlib.sha256(_der(authority_pem)).digest()).decode().rstrip("=")


def pinned(authority_pem: str, expected: str) -> str | None:
    """The certificate with that fingerprint, written anew from the bytes that were compared; None for any other text.

    What is trusted must be what was compared: readers of PEM differ in what they pass over.
    """
    try:
        if fingerprint(authority_pem) == expected:
            return ssl.DER_cert_to_PEM_cert(_der(authority_pem))
    except ValueError:
        pass
    return None


def _der(pem: str) -> bytes:
    """The bytes of the one certificate in the text. Raises ValueError."""
    found = _PEM.fullmatch(pem.strip())
    if not found:
        raise ValueError("not one certificate")
    return base64.b64decode("".join(found[1].split()), validate=True)
