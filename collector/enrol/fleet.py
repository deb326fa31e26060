"""The fleet's configuration at the collector: signed, published, given. Its form: agent/fleet.py, docs/fleet.md.

The key that signs may lie at the collector, or with somebody who signs on another machine: what comes in signed is
verified with fleet.pub, the key that agents have pinned.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import IntegrityError

from agent.enroll.ed25519 import verify
from agent.fleet import Document, FleetError, check, parse
from agent.phrase import Phrase
from agent.texts import Texts as AgentTexts
from collector.access.people import User
from collector.enrol.authority import fleet_public, refuse_open
from collector.enrol.errors import AuthorityError
from collector.errors import CollectorUsageError
from collector.ledger import Ledger, audit, fleet, microseconds
from collector.ledger.fleet import FleetConfiguration
from collector.texts import Texts

DEFAULT_VALID = timedelta(days=90)
_HEADER = re.compile(r"\A(version|expires)\s*=.*\n", re.MULTILINE)


class BadDocumentError(CollectorUsageError):
    """The document can't be used; its text says what is wrong. Exit code 2."""

    def __init__(self, what: Phrase) -> None:
        super().__init__(what.key, **what.values)
        self._what = what

    def text(self, texts: AgentTexts) -> str:
        """The one line for a person."""
        return Texts(texts.language).say("enrol.fleet_bad", what=self._what.say(Texts(texts.language)))


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document with its signature: what travels, as one file of JSON."""

    document: str
    signature: str

    def to_json(self) -> str:
        """As a file."""
        return json.dumps({"document": self.document, "signature": self.signature}, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SignedDocument | None:
        """The signed document, or None when the text is something else (TOML that is not signed yet)."""
        try:
            found = json.loads(text)
            return cls(str(found["document"]), str(found["signature"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def sign(text: str, version: int, expires: datetime, key: Path) -> SignedDocument:
    """Give a text of groups its version and expiry, and sign it. Raises BadDocumentError, AuthorityError."""
    body = text
    while _HEADER.match(body):  # a former version's, when somebody published goes on from it
        body = _HEADER.sub("", body, count=1)
    try:
        check(body)
        document = f"version = {version}\nexpires = {expires:%Y-%m-%dT%H:%M:%SZ}\n{body}"
        parse(document)
    except FleetError as error:
        raise BadDocumentError(error.what) from error
    return SignedDocument(document, base64.b64encode(_private(key).sign(document.encode())).decode())


class FleetDesk:
    """Publishes versions, and gives the newest."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        """`folder`: that of the authority. Raises AuthorityError."""
        self._ledger = ledger
        self._folder = folder
        self._public = base64.b64decode(fleet_public(folder))

    @property
    def key_here(self) -> bool:
        """Whether the signing key lies at this collector."""
        return (self._folder / "fleet.key").exists()

    def newer_than(self, version: int) -> FleetConfiguration | None:
        """The newest, where it is newer than what an agent has."""
        with self._ledger.read() as connection:
            found = fleet.newest(connection)
        return found if found and found.version > version else None

    def next_version(self) -> int:
        """The number of the version that is published next."""
        with self._ledger.read() as connection:
            found = fleet.newest(connection)
        return found.version + 1 if found else 1

    def publish_text(self, by: User, text: str, valid: timedelta = DEFAULT_VALID) -> FleetConfiguration:
        """Sign a text with the key that lies here, and publish it. Raises BadDocumentError, AuthorityError."""
        key = self._folder / "fleet.key"
        return self.publish(by, sign(text, self.next_version(), self._ledger.clock() + valid, key))

    def publish(self, by: User, signed: SignedDocument) -> FleetConfiguration:
        """Publish a signed document. Raises BadDocumentError, or CollectorUsageError when agents would refuse it."""
        document = self._accepted(signed)
        now_us = microseconds(self._ledger.clock())
        made = FleetConfiguration(
            version=document.version,
            document=signed.document,
            signature=signed.signature,
            published_us=now_us,
            published_by=by.name,
        )
        try:
            with self._ledger.write() as connection:
                newest = fleet.newest(connection)
                if newest and newest.version >= document.version:
                    raise CollectorUsageError("enrol.fleet_older", found=document.version, have=newest.version)
                fleet.add(connection, made)
                audit.write(
                    connection,
                    at_us=now_us,
                    actor=by.name,
                    role=by.role.value,
                    via=by.via.value,
                    address=by.address,
                    action="fleet.published",
                    about=str(document.version),
                    detail={"groups": len(document.groups), "expires": document.expires.isoformat()},
                )
        except IntegrityError as error:
            raise CollectorUsageError("enrol.fleet_older", found=document.version, have=document.version) from error
        return made

    def _accepted(self, signed: SignedDocument) -> Document:
        try:
            signature = base64.b64decode(signed.signature, validate=True)
        except ValueError:
            signature = b""
        if not verify(self._public, signed.document.encode(), signature):
            raise CollectorUsageError("enrol.fleet_unsigned", folder=self._folder)
        try:
            document = parse(signed.document)
        except FleetError as error:
            raise BadDocumentError(error.what) from error
        if document.expires <= self._ledger.clock():
            raise CollectorUsageError("enrol.fleet_expired", when=f"{document.expires:%Y-%m-%d}")
        return document


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        refuse_open(path)
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError as error:
        raise AuthorityError("enrol.fleet_no_key", path=path) from error
    except OSError as error:
        raise AuthorityError("enrol.unreadable", path=path, reason=error.strerror or error) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthorityError("enrol.unreadable", path=path, reason=str(error)[:200]) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise AuthorityError("enrol.unreadable", path=path, reason="no Ed25519 key")
    return key
