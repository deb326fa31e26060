"""Keeps the fleet's configuration on this PC: the version in force, the one before, and why a newer one was refused.

Everything here is written in one step and durable. What is in force was verified (signature, version, expiry) and
read by the real loader together with this PC's own file before it came here; a bad one changes nothing.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.config_schema import AGENT, host_name
from agent.fleet import Document, FleetError, Overlay, overlay_of, parse
from agent.phrase import phrase


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that was not taken, and why (English, for `state` and the log)."""

    version: int
    reason: str
    signed: bool  # an unsigned one is only told: it must not keep a good one of that number out


class FleetStore:
    """The folder below state_dir."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "fleet"

    def current(self) -> Document | None:
        """The version in force; None when there is none, or the file can't be used (then the PC's own file holds)."""
        return self._document("current.json")

    def seen(self) -> int:
        """The highest version that was taken or refused: nothing up to there is looked at again."""
        current, refused = self.current(), self.refused()
        return max(current.version if current else 0, refused.version if refused and refused.signed else 0)

    def refused(self) -> Refused | None:
        """The newest version that was not taken; None when there is none newer than the one in force."""
        try:
            found = json.loads((self.folder / "refused.json").read_text(encoding="utf-8"))
            return Refused(int(found["version"]), str(found["reason"]), found["signed"] is True)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def take(self, document: str) -> None:
        """A verified document is in force from now on. Raises OSError."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        current = self.folder / "current.json"
        if current.exists():
            self._write("previous.json", current.read_text(encoding="utf-8"))
        self._write("current.json", json.dumps({"document": document}))
        (self.folder / "refused.json").unlink(missing_ok=True)

    def refuse(self, refused: Refused) -> None:
        """Remember that it was not taken. Raises OSError."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._write("refused.json", json.dumps(asdict(refused)))

    def go_back(self, reason: str) -> None:
        """The version in force did not work: the one before holds again, or none. Raises OSError."""
        current = self.current()
        previous = self.folder / "previous.json"
        if previous.exists():
            previous.replace(self.folder / "current.json")
        else:
            (self.folder / "current.json").unlink(missing_ok=True)
        if current is not None:
            self.refuse(Refused(current.version, reason, signed=True))

    def _document(self, name: str) -> Document | None:
        try:
            return parse(json.loads((self.folder / name).read_text(encoding="utf-8"))["document"])
        except (OSError, ValueError, KeyError, TypeError, FleetError):
            return None

    def _write(self, name: str, text: str) -> None:
        descriptor, beside = tempfile.mkstemp(dir=self.folder, prefix=f".{name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.folder / name)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise


def verified(key: str, document: str, signature: str, newer_than: int, now: datetime) -> Document:
    """The document, when it is signed with that key (base64), newer, and not expired. Raises FleetError."""
    from agent.enroll.ed25519 import verify  # its arithmetic is wanted a few times a year

    try:
        raw = [base64.b64decode(text, validate=True) for text in (key, signature)]
        good = verify(raw[0], document.encode(), raw[1])
    except ValueError:
        good = False
    if not good:
        raise FleetError(phrase("fleet.bad_signature"))
    found = parse(document)
    if found.version <= newer_than:
        raise FleetError(phrase("fleet.older", found=found.version, have=newer_than))
    if now >= found.expires:
        raise FleetError(phrase("fleet.expired", found=found.version, when=f"{found.expires:%Y-%m-%d %H:%M} UTC"))
    return found


def overlay_for(data: Mapping[str, Any], environ: Mapping[str, str]) -> Overlay | None:
    """What is in force on the PC whose own configuration this is; None where the fleet says nothing."""
    agent = data.get("agent", {})
    agent = agent if isinstance(agent, dict) else {}

    def value(name: str) -> str | None:
        key = AGENT.key(name)
        found = environ.get(f"TILLWATCH_AGENT__{name.upper()}", agent.get(name, key.default if key else None))
        return found if isinstance(found, str) else None

    state_dir = value("state_dir")
    if state_dir is None or not state_dir.startswith("/"):
        return None
    document = FleetStore(Path(state_dir)).current()
    if document is None:
        return None
    return overlay_of(document, value("id") or host_name({}), value("site") or "")
