"""Kinds of configuration values that only the collector has; the others are the agent's (agent/config_values.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.config_values import RefusedError, Text, shown
from agent.phrase import Phrase, phrase

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+)):([0-9]{1,5})")


def _refused(value: object, accepts: Phrase) -> RefusedError:
    return RefusedError(phrase("config.not_accepted", found=shown(value), accepted=accepts))


@dataclass(frozen=True, slots=True)
class Listen:
    """HOST:PORT to listen at; port 0 takes a free one."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_listen")

    def read(self, value: object) -> tuple[str, int]:
        """Host and port."""
        found = _PLACE.fullmatch(value) if isinstance(value, str) else None
        if not found or int(found[3]) > 65535:
            raise _refused(value, self.accepts)
        return found[1] or found[2], int(found[3])

    def from_text(self, text: str) -> object:
        """As in the file."""
        return text


@dataclass(frozen=True, slots=True)
class WebUrl:
    """The address that people type, without a path."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_web_url")

    def read(self, value: object) -> str:
        """The address without a slash at its end."""
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
            good = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or not isinstance(value, str) or not value.isprintable():
            raise _refused(value, self.accepts)
        return value.rstrip("/")

    def from_text(self, text: str) -> object:
        """As in the file."""
        return text


@dataclass(frozen=True, slots=True)
class Zone:
    """The IANA name of a time zone."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_zone")

    def read(self, value: object) -> str:
        """The name."""
        try:
            return ZoneInfo(value).key if isinstance(value, str) else self._refuse(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return self._refuse(value)

    def _refuse(self, value: object) -> str:
        raise _refused(value, self.accepts)

    def from_text(self, text: str) -> object:
        """As in the file."""
        return text


@dataclass(frozen=True, slots=True)
class Switch:
    """true or false."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_switch")

    def read(self, value: object) -> bool:
        """The truth."""
        if value in (True, "true"):
            return True
        if value in (False, "false"):
            return False
        raise _refused(value, self.accepts)

    def from_text(self, text: str) -> object:
        """As in the file, with or without capitals."""
        return text.lower()


@dataclass(frozen=True, slots=True)
class PostUrl:
    """An address that we ask, with a path or without."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_post_url")

    def read(self, value: object) -> str:
        """The address."""
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
            good = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or not isinstance(value, str) or not value.isprintable() or " " in value:
            raise _refused(value, self.accepts)
        return value

    def from_text(self, text: str) -> object:
        """As in the file."""
        return text


@dataclass(frozen=True, slots=True)
class Words:
    """A list of texts of one kind."""

    kind: Text

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_words", each=self.kind.accepts)

    def read(self, value: object) -> tuple[str, ...]:
        """All of them."""
        if not isinstance(value, list):
            raise _refused(value, self.accepts)
        return tuple(self.kind.read(item) for item in value)

    def from_text(self, text: str) -> object:
        """With commas between."""
        return [part.strip() for part in text.split(",") if part.strip()]
