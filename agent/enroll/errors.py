"""What can go wrong on the way to an identity; texts in agent/locale/*/enroll.toml."""

from __future__ import annotations

from agent.errors import ConfigError, TillwatchError, UnreachableError
from agent.phrase import Phrase
from agent.texts import Texts


class EnrolError(TillwatchError):
    """The token, the clock, the collector's identity or this PC's name is not what it must be. Exit code 1."""


class DoorError(UnreachableError):
    """The collector can't be reached, or what answers there is none. Exit code 3."""


class PlaceError(ConfigError):
    """The configuration does not say who this PC is in a way that can be used. Exit code 2."""

    def text(self, texts: Texts) -> str:
        """The one line for a person; the reason is a phrase."""
        return Phrase(self.key, self.values).say(texts)
