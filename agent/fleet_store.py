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

#: so often an agent may begin with a version that has never run for long, before the one before holds again
MOST_STARTS = 5


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that was not taken, and why (English, for `state` and the log)."""

    version: int
    reason: str
    signed: bool  # the number is a signed document's own: nothing up to it is looked at again


class FleetStore:
    """The folder below state_dir."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "fleet"

    def current(self) -> Document | None:
        """The version in force; None when there is none, or the file can't be used (then the PC's own file holds)."""
        try:
            return parse(json.loads(self._text("current.json"))["document"])
        except (OSError, ValueError, KeyError, TypeError, FleetError):
            return None

    def seen(self) -> int:
        """The highest version that was taken or refused: nothing up to there is looked at again."""
        current = self.current()
        try:
            refused = int(json.loads(self._text("refused.json"))["seen"])
        except (OSError, ValueError, KeyError, TypeError):
            refused = 0
        return max(current.version if current else 0, refused)

    def refused(self) -> Refused | None:
        """The newest version that was not taken; None when there is none newer than the one in force."""
        try:
            found = json.loads(self._text("refused.json"))
            return Refused(int(found["version"]), str(found["reason"]), found["signed"] is True)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def take(self, document: Document, text: str, *, on_trial: bool) -> None:
        """A verified document is in force from now on. `on_trial`: it changes something here. Raises OSError."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        before = self.current()
        starts = self._starts(before.version if before else None)
        if on_trial or starts is not None:  # what changes nothing is as good as what it stands upon
            self._write_trial(document.version, 0 if on_trial or starts is None else starts)
        if before is not None and starts is None:  # only what has proved itself is gone back to
            self._write("previous.json", self._text("current.json"))
        self._write("current.json", json.dumps({"document": text}))
        (self.folder / "refused.json").unlink(missing_ok=True)

    def refuse(self, refused: Refused) -> None:
        """Remember that it was not taken. Raises OSError."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        seen = max(self.seen(), refused.version if refused.signed else 0)
        self._write("refused.json", json.dumps(asdict(refused) | {"seen": seen}))

    # -- a version on trial: until an agent has run with it for a while, it may turn out that none can ---------

    def begin(self, version: int | None) -> int:
        """An agent starts with this version; how often, while it is on trial. 0: it has proved itself, or none is.

        Raises OSError.
        """
        starts = self._starts(version)
        if starts is None or version is None:
            return 0
        self._write_trial(version, starts + 1)
        return starts + 1

    def ended_well(self, version: int | None) -> None:
        """The agent was told to end: that start is not held against the version. Raises OSError."""
        if version is not None and self._starts(version) is not None:
            self._write_trial(version, 0)

    def prove(self, version: int | None) -> None:
        """An agent has run with this version: it works. Raises OSError."""
        if self._starts(version) is not None:
            (self.folder / "trial.json").unlink(missing_ok=True)

    def go_back(self, reason: str) -> None:
        """The version in force did not work: the one before holds again, or none. Raises OSError."""
        current = self.current()
        if current is not None:
            self.refuse(Refused(current.version, reason, signed=True))
        previous = self.folder / "previous.json"
        if previous.exists():
            previous.replace(self.folder / "current.json")
        else:
            (self.folder / "current.json").unlink(missing_ok=True)
        (self.folder / "trial.json").unlink(missing_ok=True)

    def _starts(self, version: int | None) -> int | None:
        try:
            found = json.loads(self._text("trial.json"))
            return int(found["starts"]) if found["version"] == version else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_trial(self, version: int, starts: int) -> None:
        self._write("trial.json", json.dumps({"version": version, "starts": starts}))

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

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


def verified(key: str, document: str, signature: str) -> Document:
    """The document, when it is signed with that key (base64). Raises FleetError."""
    from agent.enroll.ed25519 import verify  # its arithmetic is wanted a few times a year

    try:
        raw = [base64.b64decode(text, validate=True) for text in (key, signature)]
        good = verify(raw[0], document.encode(), raw[1])
    except ValueError:
        good = False
    if not good:
        raise FleetError(phrase("fleet.bad_signature"))
    return parse(document)


def refuse_old(document: Document, seen: int, now: datetime) -> None:
    """Raises FleetError where the document has expired, or is not newer than all that was taken or refused."""
    if document.version <= seen:
        raise FleetError(phrase("fleet.older", found=document.version, have=seen))
    if now >= document.expires:
        when = f"{document.expires:%Y-%m-%d %H:%M} UTC"
        raise FleetError(phrase("fleet.expired", found=document.version, when=when))


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
